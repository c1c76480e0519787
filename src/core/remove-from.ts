/** Takes an entry out of a short list whose order stays. Unlike `splice` it makes no list of what was taken, and most lists have one entry. */
export function removeFrom<T>(list: T[], entry: T): void {
  const at = list.indexOf(entry)
  if (at >= 0) removeAt(list, at)
}

export function removeAt<T>(list: T[], at: number): void {
  for (let i = at + 1; i < list.length; i++) list[i - 1] = list[i]
  list.pop()
}
