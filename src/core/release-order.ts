/**
 * Whether one release comes after another by Semantic Versioning's precedence (semver.org 2.0.0, section 11). What is no version comes
 * after nothing.
 */
export function isNewerRelease(release: string, than: string): boolean {
  const [one, other] = [parse(release), parse(than)]
  if (one === null || other === null) return false
  for (const [i, number] of one.numbers.entries()) {
    if (number !== other.numbers[i]) return number > other.numbers[i]
  }
  return isAfter(one.before, other.before)
}

type Release = { readonly numbers: readonly number[]; readonly before: readonly string[] }

function parse(text: string): Release | null {
  const [, numbers, before] = /^(\d{1,9}\.\d{1,9}\.\d{1,9})(?:-([0-9A-Za-z.-]+))?(?:\+.*)?$/.exec(text) ?? []
  if (numbers === undefined) return null
  return { numbers: numbers.split('.').map(Number), before: before === undefined ? [] : before.split('.') }
}

/** A release comes after its own pre-releases, numbers before words, the longer after the shorter. */
function isAfter(one: readonly string[], other: readonly string[]): boolean {
  if (one.length === 0 || other.length === 0) return one.length === 0 && other.length > 0
  for (const [i, word] of one.entries()) {
    const against = other[i]
    if (against === undefined) return true
    if (word === against) continue
    const [isNumber, isOtherNumber] = [/^\d+$/.test(word), /^\d+$/.test(against)]
    if (isNumber !== isOtherNumber) return isOtherNumber
    return isNumber ? Number(word) > Number(against) : word > against
  }
  return false
}
