import { Bitmap } from '../../src/core/bitmap.ts'
import { pieceCount } from '../../src/core/piece-layout.ts'
import type { PeerMessages } from '../../src/wire/control.ts'
import { announcement, ControlPeer, hello } from './control-peer.ts'
import { type ScriptedRequest, type ScriptedSource, startScriptedSource } from './scripted-source.ts'

/** A member of a swarm that claims to hold everything, and what it does to those who ask it for a piece. */

export const LIES = [
  'wrong bytes',
  'the bytes of another piece',
  'a short body',
  'a longer body',
  'another range',
  'the whole content',
  'a redirect',
  'garbage',
  'that it does not hold the piece',
  'nothing and hangs up',
  'nothing',
  'one byte after the other',
] as const
export type Lie = (typeof LIES)[number]

export type LyingPeer = {
  /** How often it was asked for pieces. */
  readonly requestCount: number
  readonly control: ControlPeer
  close(): Promise<void>
}

export type LyingPeerOptions = {
  /** `host:port` of the supernode. */
  readonly node: string
  readonly url: string
  readonly lie: Lie
  /** The true content, of which lies are made. */
  readonly content: Uint8Array
}

/** Resolves when the supernode has heard that this one holds everything. */
export async function startLyingPeer(options: LyingPeerOptions): Promise<LyingPeer> {
  const timers = new Set<NodeJS.Timeout>()
  const source: ScriptedSource = await startScriptedSource(request => {
    const timer = answer(request, options)
    if (timer) timers.add(timer)
  })
  const control = await ControlPeer.connect(options.node)
  control.send(hello({ address: '127.0.0.1', port: source.port, uploadSlots: 64 }))
  control.send(await claimOfAll(control, options))
  return {
    get requestCount() {
      return source.requests.length
    },
    control,
    async close() {
      control.socket.terminate()
      for (const timer of timers) clearInterval(timer)
      await source.close()
    },
  }
}

/** Joins the task to learn what it is, and returns the announce of somebody who holds every piece. */
export async function claimOfAll(
  control: ControlPeer,
  wanted: { url: string; headers?: [string, string][] },
): Promise<PeerMessages['announce']> {
  const said = await control.announce(announcement(wanted))
  if (said.type !== 'layout') throw new Error(`there is no layout: ${said.message}`)
  const { generation, lengthBytes, pieceLength } = said
  const held = new Bitmap(pieceCount({ lengthBytes, pieceLength }))
  for (let piece = 0; piece < held.size; piece++) held.add(piece)
  return announcement(wanted, { generation, lengthBytes, pieceLength, held: held.encode() })
}

const TRICKLE_MS = 1_000

function answer(
  { socket, text }: ScriptedRequest,
  { lie, content }: LyingPeerOptions,
): NodeJS.Timeout | null {
  const [, first, last] = /\r\nRange: bytes=(\d+)-(\d+)/.exec(text) ?? []
  const [start, end] = [Number(first), Number(last) + 1]
  const truth = content.subarray(start, end)
  const head = (status: string, fields: Record<string, string | number>) =>
    `HTTP/1.1 ${status}\r\n${Object.entries(fields)
      .map(([name, value]) => `${name}: ${value}\r\n`)
      .join('')}\r\n`
  const partial = (lengthBytes = end - start, from = start) =>
    head('206 Partial Content', {
      'Content-Range': `bytes ${from}-${from + lengthBytes - 1}/${content.length}`,
      'Content-Length': lengthBytes,
    })
  const send = (sent: string, body: Uint8Array) => {
    socket.write(sent)
    socket.write(body)
  }
  switch (lie) {
    case 'wrong bytes':
      send(
        partial(),
        truth.map((byte, i) => (i === truth.length - 1 ? byte ^ 1 : byte)),
      )
      return null
    case 'the bytes of another piece':
      send(partial(), Buffer.concat([content.subarray(end), content]).subarray(0, end - start))
      return null
    case 'a short body':
      socket.end(Buffer.concat([Buffer.from(partial()), truth.subarray(0, truth.length >> 1)]))
      return null
    case 'a longer body':
      send(
        head('206 Partial Content', {
          'Content-Range': `bytes ${start}-${end - 1}/${content.length}`,
          'Content-Length': end - start + 1,
        }),
        Buffer.concat([truth, Buffer.alloc(1)]),
      )
      return null
    case 'another range':
      send(partial(end - start, start + 1), truth)
      return null
    case 'the whole content':
      send(head('200 OK', { 'Content-Length': content.length }), content)
      return null
    case 'a redirect':
      socket.write(
        head('302 Found', { Location: `http://127.0.0.1:${socket.localPort}/`, 'Content-Length': 0 }),
      )
      return null
    case 'garbage':
      socket.write('220 mail.example ESMTP ready\r\n\r\n')
      return null
    case 'that it does not hold the piece':
      socket.write(head('404 Not Found', { 'Content-Length': 0 }))
      return null
    case 'nothing and hangs up':
      socket.destroy()
      return null
    case 'nothing':
      return null
    case 'one byte after the other': {
      socket.write(partial())
      let sent = 0
      return setInterval(() => socket.write(truth.subarray(sent, ++sent)), TRICKLE_MS)
    }
  }
}
