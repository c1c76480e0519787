/** Bytes that a server reads and sends at once. A block costs a read, a write and two wake-ups of a thread, whatever its length. */
export const BLOCK_BYTES = 512 * 1024

/** A quarter to a third less CPU, four times the memory; more brings no more. */
export const LARGE_BLOCK_BYTES = 2 * 1024 * 1024

/** For one who begins while `active` others are served; no more than `few` at once work in large blocks. */
export function blockBytesBeside(active: number, few: number): number {
  return active < few ? LARGE_BLOCK_BYTES : BLOCK_BYTES
}
