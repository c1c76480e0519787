import { close, fsync } from 'node:fs'
import net from 'node:net'
import { promisify } from 'node:util'
import { receive, send } from './least-transfer.ts'

/**
 * The processes of `floor.ts`, apart from it, because a consumer's start is measured with it:
 *
 *     node least-relay.ts relay ORIGIN-PORT FILE DIGEST      prints its two ports
 *     node least-relay.ts consumer RELAY-PORT FILE DIGEST
 */

const [role, port, file, digest] = process.argv.slice(2)
if (role === 'relay') relay()
else await consume()

/** Whoever comes to the first port gets what comes from the origin, whoever comes to the second what is stored. */
function relay(): void {
  const cold = net.createServer(async consumer => {
    const passOn = (bytes: Uint8Array, sent: () => void) => consumer.write(bytes, sent)
    const fd = await receive({ port: Number(port), ask: '/file', file, digest, passOn })
    consumer.end()
    await promisify(close)(fd)
  })
  const warm = net.createServer(consumer => send(file, consumer))
  const portOf = (server: net.Server) => (server.address() as net.AddressInfo).port
  cold.listen(0, '127.0.0.1', () => {
    warm.listen(0, '127.0.0.1', () => console.log(`${portOf(cold)} ${portOf(warm)}`))
  })
}

async function consume(): Promise<void> {
  const fd = await receive({ port: Number(port), file, digest })
  await promisify(fsync)(fd)
  await promisify(close)(fd)
}
