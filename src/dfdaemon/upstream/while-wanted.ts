import type { ServerResponse } from 'node:http'
import { sendFailure } from './error-answer.ts'

/**
 * Lets `act` answer, under a signal that aborts when the client goes away. Resolves when the exchange is over, however it ended; a failure
 * is the answer, or breaks off the one that has begun.
 */
export async function whileWanted(
  response: ServerResponse,
  act: (gone: AbortSignal) => Promise<void>,
): Promise<void> {
  if (response.destroyed) return
  const gone = new AbortController()
  const onClose = () => gone.abort()
  response.once('close', onClose)
  try {
    await act(gone.signal)
  } catch (thrown) {
    if (!response.destroyed) sendFailure(response, thrown)
    gone.abort()
  } finally {
    response.off('close', onClose)
  }
}
