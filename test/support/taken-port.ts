import { once } from 'node:events'
import { createServer } from 'node:net'

/** Calls with a port of 127.0.0.1 on which somebody listens meanwhile. */
export async function withTakenPort(action: (port: number) => Promise<void>): Promise<void> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    await action((server.address() as { port: number }).port)
  } finally {
    server.close()
  }
}
