/** What several benchmarks measure and make of it. It imports nothing, so that it adds nothing to what is measured. */

/** The value that this share of the numbers does not exceed. */
export function quantile(numbers: Iterable<number>, share: number): number {
  const sorted = Float64Array.from(numbers).sort()
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]
}

/** CPU time of this thread: what else the machine does is not counted. */
export function cpuMicroseconds(): number {
  const { user, system } = process.threadCpuUsage()
  return user + system
}
