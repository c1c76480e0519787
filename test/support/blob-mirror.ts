import assert from 'node:assert/strict'
import type { ClientRequest } from 'node:http'
import { after, beforeEach } from 'node:test'
import { startFakeRegistry } from './dfdaemon-registry.ts'
import { ask, bytesOf, type Got, registryAt, startDfdaemonWorld } from './dfdaemon-world.ts'

const LENGTH = 3 * 1024 * 1024 + 5

/** A mirror before a registry with blobs, and its clients; each test finds it as new. It ends with the test's file. */
export async function startBlobMirror() {
  const world = await startDfdaemonWorld(({ url }) => ({
    mirror: { usual: registryAt(url), registries: new Map([['direct.example', registryAt(url, true)]]) },
  }))
  const { daemon, registry, fetcher, clock, log } = world
  const store = await startFakeRegistry()
  after(() => Promise.all([world.stop(), store.close()]))

  let seed = 1

  beforeEach(() => {
    fetcher.script = null
    registry.intercept = null
    registry.store = null
    registry.allowed.clear()
  })

  /** A blob of its own for each test, so that nothing is remembered of it. */
  function newBlob(lengthBytes = LENGTH) {
    const content = bytesOf(lengthBytes, ++seed)
    const digest = registry.addBlob(content)
    store.addBlob(content)
    return { content, digest, path: `/v2/library/app/blobs/${digest}` }
  }

  const get = (path: string, headers: Record<string, string> = {}) => ask(daemon.port, path, { headers })

  /** The swarm has it all. */
  function swarmHas(content: Buffer) {
    fetcher.script = async download => {
      await download.grow(content)
      await download.complete(content.length)
    }
  }

  function assertContent(got: Got, expected: Buffer) {
    assert.ok(got.isWhole, 'the whole body came')
    assert.ok(got.body.equals(expected), 'the right bytes came')
  }

  const nextDownload = () => fetcher.begun(fetcher.downloads.length)

  /** A client that has got so many bytes already. */
  function beginGet(path: string, headers: Record<string, string> = {}) {
    let outgoing!: ClientRequest
    let hasBytes = 0
    let onMore = () => {}
    const got = ask(daemon.port, path, {
      headers,
      onRequest: request => {
        outgoing = request
      },
      onResponse: response =>
        response.on('data', part => {
          hasBytes += part.length
          onMore()
        }),
    })
    const has = (bytes: number) =>
      new Promise<void>(resolve => {
        onMore = () => hasBytes >= bytes && resolve()
        onMore()
      })
    return { got, has, leave: () => outgoing.destroy() }
  }

  /** A GET of a new blob, and the download of the peer that it begins. */
  async function begin(lengthBytes = LENGTH) {
    const blob = newBlob(lengthBytes)
    const downloading = nextDownload()
    const client = beginGet(blob.path)
    return { ...blob, client, download: await downloading }
  }

  /** Lets the pauses between tries pass. */
  async function untilOver(getting: Promise<Got>, passing = clock): Promise<Got> {
    let isOver = false
    const over = () => {
      isOver = true
    }
    getting.then(over, over)
    while (!isOver) {
      await settled()
      passing.moveOn(500)
    }
    return getting
  }

  /** When all that is under way in this process without waiting for the clock has been done. */
  async function settled(): Promise<void> {
    for (let turn = 0; turn < 20; turn++) await new Promise(resolve => setImmediate(resolve))
  }

  return {
    daemon,
    registry,
    fetcher,
    clock,
    log,
    store,
    newBlob,
    get,
    swarmHas,
    assertContent,
    nextDownload,
    beginGet,
    begin,
    untilOver,
    settled,
  }
}
