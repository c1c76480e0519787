import type { Clock } from '../../core/clock.ts'
import { DragonflyError } from '../../core/error.ts'
import type { Delivery } from './delivery.ts'
import type { Reading } from './reading.ts'

/** For how long the swarm is waited for before the upstream is read instead. */
type Patience = {
  /** While it has nothing new, wherever in the content. */
  readonly silentMs: number
  /** While it has new pieces, but not the next byte. */
  readonly stuckMs: number
  /** While it verifies the whole. */
  readonly verifyMs: number
}

export const USUAL_PATIENCE: Patience = { silentMs: 8_000, stuckMs: 30_000, verifyMs: 60_000 }

/** With a fetcher that says nothing until the whole is there. */
export const LONG_PATIENCE: Patience = { silentMs: 1_800_000, stuckMs: 1_800_000, verifyMs: 1_800_000 }

/** So much of the content's end waits until the whole is verified; the upstream has it, should it come to that. */
export const HELD_BYTES = 256 * 1024

type SwarmContent = {
  readonly reading: Reading
  /** As the upstream says. */
  readonly lengthBytes: number
  /** The version that the head describes, where the upstream names it. */
  readonly generation: string | null
}

type Waiting = { readonly patience: Patience; readonly clock: Clock; readonly signal: AbortSignal }

type SwarmDelivery = Waiting & {
  /** At most so much is read and written at once. */
  readonly blockBytes: number
}

/**
 * Delivers from the peer's file, as far as it is verified. Ends when the delivery is complete.
 * @throws DragonflyError why not; the signal's reason
 */
export async function deliverFromSwarm(
  delivery: Delivery,
  content: SwarmContent,
  options: SwarmDelivery,
): Promise<void> {
  const { reading } = content
  const { clock, blockBytes } = options
  const bell = new Bell(reading)
  // One is filled while the client takes the other.
  let [block, other] = [NO_BYTES, NO_BYTES]
  let writing = Promise.resolve()
  let standsSinceMs = clock.now()
  try {
    while (!delivery.isComplete) {
      bell.silence()
      assertSame(content)
      const wantedBytes = Math.min(blockBytes, readableEnd(content, delivery) - delivery.position)
      if (block.length < wantedBytes) block = Buffer.allocUnsafeSlow(wantedBytes)
      const bytes = wantedBytes <= 0 ? 0 : await reading.read(block, wantedBytes, delivery.position)
      await writing
      if (bytes > 0) {
        writing = delivery.write(block.subarray(0, bytes))
        writing.catch(() => {})
        ;[block, other] = [other, block]
        standsSinceMs = clock.now()
      } else if (!bell.isRung) {
        if (reading.completeLengthBytes !== null) {
          throw new DragonflyError('DISK_ERROR', "the peer's copy is shorter than the content")
        }
        await bell.rings(deadlineOf(content, standsSinceMs, options.patience), options)
      }
    }
    await writing
  } finally {
    bell.dismount()
  }
}

const NO_BYTES: Uint8Array = new Uint8Array(0)

/** @throws DragonflyError where it is not what the head describes */
function assertSame({ reading, lengthBytes, generation }: SwarmContent): void {
  if (reading.failure) throw reading.failure
  const isOther =
    (reading.completeLengthBytes ?? lengthBytes) !== lengthBytes ||
    reading.endByte > lengthBytes ||
    (generation !== null && (reading.generation ?? generation) !== generation)
  if (isOther) throw new DragonflyError('ORIGIN_CHANGED', 'the swarm has another version of the content')
}

/** How far this answer may read now. */
function readableEnd({ reading, lengthBytes }: SwarmContent, { position, end }: Delivery): number {
  if (reading.isWhole) return end
  if (position < reading.readFrom) return position
  return Math.min(reading.endByte, end === lengthBytes ? end - HELD_BYTES : end)
}

/** A client that was slow has not waited for what came in the meantime. */
function deadlineOf(
  { reading, lengthBytes }: SwarmContent,
  standsSinceMs: number,
  { silentMs, stuckMs, verifyMs }: Patience,
): number {
  const { grownAtMs, aliveAtMs } = reading
  const grownMs = Math.max(grownAtMs, standsSinceMs)
  if (reading.endByte === lengthBytes) return grownMs + verifyMs
  return Math.min(Math.max(grownMs, aliveAtMs) + silentMs, grownMs + stuckMs)
}

/** Rings whenever the peer has said something. */
class Bell {
  #isRung = false
  #onRing = () => {}
  readonly #unwatch: () => void

  constructor(reading: Reading) {
    this.#unwatch = reading.watch(() => {
      this.#isRung = true
      this.#onRing()
    })
  }

  get isRung(): boolean {
    return this.#isRung
  }

  silence(): void {
    this.#isRung = false
  }

  dismount(): void {
    this.#unwatch()
  }

  /** @throws DragonflyError DOWNLOAD_STALLED at the deadline */
  async rings(deadlineMs: number, { clock, signal }: Waiting): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const onAbort = () => reject(signal.reason)
    const cancel = clock.schedule(Math.max(0, deadlineMs - clock.now()), () =>
      reject(new DragonflyError('DOWNLOAD_STALLED', 'the swarm has had nothing new for too long')),
    )
    this.#onRing = resolve
    signal.addEventListener('abort', onAbort)
    if (signal.aborted) onAbort()
    try {
      await promise
    } finally {
      cancel()
      signal.removeEventListener('abort', onAbort)
    }
  }
}
