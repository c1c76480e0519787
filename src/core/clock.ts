/** Time as an argument. `now` is monotonic milliseconds; only `wallNow` relates to the calendar. */
export type Clock = {
  now(): number
  /** Milliseconds since the Unix epoch; may jump. */
  wallNow(): number
  /** Runs `action` once after `delayMs`; the returned function cancels it. */
  schedule(delayMs: number, action: () => void): () => void
}

/** Resolves after `delayMs`, or rejects with the signal's reason. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignalLike): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason)
      return
    }
    const onAbort = () => {
      cancel()
      reject(signal?.reason)
    }
    const cancel = clock.schedule(delayMs, () => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    })
    signal?.addEventListener('abort', onAbort)
  })
}

/** Settles as the promise does, or rejects with the signal's reason if that comes first. */
export async function orAborted<T>(promise: Promise<T>, signal?: AbortSignalLike): Promise<T> {
  const aborted = Promise.withResolvers<never>()
  const onAbort = () => aborted.reject(signal?.reason)
  if (signal?.aborted) onAbort()
  signal?.addEventListener('abort', onAbort)
  try {
    return await Promise.race([aborted.promise, promise])
  } finally {
    signal?.removeEventListener('abort', onAbort)
  }
}

/** The part of the web's AbortSignal that we need, so that the pure rooms need no DOM types. */
export type AbortSignalLike = {
  readonly aborted: boolean
  readonly reason: unknown
  addEventListener(type: 'abort', listener: () => void): void
  removeEventListener(type: 'abort', listener: () => void): void
}
