/** The known name with the smallest edit distance (Levenshtein) to what was written. */
export function nearestName(written: string, known: readonly string[]): string {
  return known.reduce((best, name) =>
    distance(written.toLowerCase(), name.toLowerCase()) < distance(written.toLowerCase(), best.toLowerCase())
      ? name
      : best,
  )
}

function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const substituted = row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(next[j - 1] + 1, row[j] + 1, substituted))
    }
    row = next
  }
  return row[b.length]
}
