import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** An HTTP service that says where hosts are, or whatever else a test has it say. */
export type ArmoryService = {
  /** `http://127.0.0.1:12345` */
  readonly url: string
  /** Targets of the requests, oldest first. */
  readonly targets: readonly string[]
  readonly requests: readonly IncomingMessage[]
  answer: (request: IncomingMessage, response: ServerResponse) => void
  close(): Promise<void>
}

export async function startArmoryService(answer: ArmoryService['answer']): Promise<ArmoryService> {
  const requests: IncomingMessage[] = []
  const server = createServer((request, response) => {
    requests.push(request)
    service.answer(request, response)
  })
  const service: ArmoryService = {
    url: '',
    requests,
    answer,
    get targets() {
      return requests.map(({ url }) => url!)
    },
    async close() {
      const closed = new Promise(resolve => server.close(resolve))
      server.closeAllConnections()
      await closed
    },
  }
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return Object.defineProperty(service, 'url', {
    value: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
  })
}
