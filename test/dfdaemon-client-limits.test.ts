import assert from 'node:assert/strict'
import { connect, type Socket } from 'node:net'
import { after, beforeEach, describe, it } from 'node:test'
import { USUAL_LIMITS } from '../src/dfdaemon/listener.ts'
import { ask, sendRaw, startDfdaemonWorld } from './support/dfdaemon-world.ts'

/** How many connections clients may have, and for how long nothing may happen on one. */

it('more connections than there may be are closed', async t => {
  const { daemon, stop } = await startDfdaemonWorld(undefined, { ...USUAL_LIMITS, connections: 64 })
  t.after(stop)
  const open = await Promise.all(
    Array.from(
      { length: 64 },
      () =>
        new Promise<Socket>(resolve => {
          const socket = connect(daemon.port, '127.0.0.1', () => resolve(socket))
        }),
    ),
  )
  assert.equal(await sendRaw(daemon.port, 'GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n'), '')
  for (const socket of open) socket.destroy()
})

describe('a client on whose turn nothing happens for too long', async () => {
  const { daemon, registry, clock, stop } = await startDfdaemonWorld(undefined, {
    ...USUAL_LIMITS,
    stallMs: 300,
  })
  after(stop)

  beforeEach(() => {
    registry.intercept = null
  })

  it('is dropped where it does not read its answer', async () => {
    const closed = Promise.withResolvers<void>()
    registry.intercept = (_, response) => {
      response.once('close', closed.resolve)
      response.writeHead(200)
      const write = () => {
        while (!response.destroyed && response.write(Buffer.alloc(1024 * 1024)));
        response.once('drain', write)
      }
      write()
      return true
    }
    const socket = connect(daemon.port, '127.0.0.1', () => {
      socket.write('GET /v2/app/tags/list HTTP/1.1\r\nHost: x\r\n\r\n')
    })
    socket.on('error', () => {}).pause()
    await closed.promise
    socket.destroy()
  })

  it('is dropped where it does not end its body', async () => {
    registry.intercept = () => true
    const head = 'POST /v2/x/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n'
    assert.equal(await sendRaw(daemon.port, `${head}ab`), '')
  })

  it('is not dropped where it is the registry that takes its time', async () => {
    registry.intercept = (request, response) => {
      const isOver = Promise.withResolvers<string>()
      request.socket.once('close', () => isOver.resolve('dropped'))
      clock.schedule(900, () => isOver.resolve('ok'))
      void isOver.promise.then(text => response.end(text))
      return true
    }
    const got = await ask(daemon.port, '/v2/app/tags/list')
    assert.equal(got.body.toString(), 'ok')
  })
})
