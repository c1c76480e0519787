import { open, stat } from 'node:fs/promises'
import type { Clock } from '../core/clock.ts'
import { oneLine } from '../core/text.ts'

const LOOK_EVERY_MS = 200
const BLOCK_BYTES = 256 * 1024

/**
 * Passes on the lines that are added to a log from now on, until the returned function is called; that one passes on the last of them. A
 * log that cannot be read says nothing.
 */
export async function followLog(
  file: string,
  write: (text: string) => void,
  clock: Clock,
): Promise<() => Promise<void>> {
  let position = await lengthOf(file)
  let rest = Buffer.alloc(0)
  const block = Buffer.alloc(BLOCK_BYTES)
  let cancel = () => {}
  let isOver = false
  const readOn = async () => {
    // A log that was put aside begins anew.
    if ((await lengthOf(file)) < position) position = 0
    const handle = await open(file).catch(() => null)
    if (handle === null) return
    try {
      for (;;) {
        const { bytesRead } = await handle.read(block, 0, BLOCK_BYTES, position)
        if (bytesRead === 0) return
        position += bytesRead
        rest = Buffer.concat([rest, block.subarray(0, bytesRead)])
        const end = rest.lastIndexOf(0x0a) + 1
        if (end > 0) write(rest.toString('utf8', 0, end).split('\n').map(oneLine).join('\n'))
        rest = rest.subarray(end)
      }
    } finally {
      await handle.close()
    }
  }
  const look = () => readOn().catch(() => {})
  let looking = Promise.resolve()
  const again = () => {
    if (isOver) return
    looking = look().then(() => {
      cancel = clock.schedule(LOOK_EVERY_MS, again)
    })
  }
  again()
  return async () => {
    isOver = true
    await looking
    cancel()
    await look()
  }
}

async function lengthOf(file: string): Promise<number> {
  return (await stat(file).catch(() => null))?.size ?? 0
}
