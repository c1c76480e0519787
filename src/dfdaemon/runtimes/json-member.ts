/** Edits of one member of a JSON text's outermost object which leave every other byte as it is. */

type Member = {
  readonly key: string
  readonly start: number
  readonly valueStart: number
  readonly end: number
}
type Outline = { readonly open: number; readonly close: number; readonly members: readonly Member[] }

const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g

/** Where the members of the outermost object stand. The text is JSON, and an object. */
function outlineOf(text: string): Outline {
  const members: Member[] = []
  let depth = 0
  let open = 0
  let close = 0
  let begun: { key: string; start: number } | null = null
  let valueStart: number | null = null
  let end = 0
  const finish = () => {
    if (begun && valueStart !== null) members.push({ ...begun, valueStart, end })
    begun = null
    valueStart = null
  }
  for (const { 0: token, index } of text.matchAll(TOKEN)) {
    if (depth === 0) open = index
    const isOuter = depth === 1
    if (isOuter && (token === ',' || token === '}')) finish()
    else if (isOuter && begun === null) begun = { key: JSON.parse(token), start: index }
    else if (isOuter && valueStart === null && token !== ':') valueStart = index
    if (token === '{' || token === '[') depth++
    if (token === '}' || token === ']') depth--
    if (depth === 0) close = index
    end = index + token.length
  }
  return { open, close, members }
}

/** The keys of the outermost object as often as they are written. */
export function keysOf(text: string): string[] {
  return outlineOf(text).members.map(({ key }) => key)
}

/** Gives a member a value, which is written on one line; a new member comes last. */
export function withMember(text: string, key: string, value: string): string {
  const { open, close, members } = outlineOf(text)
  const present = members.find(member => member.key === key)
  if (present) return text.slice(0, present.valueStart) + value + text.slice(present.end)
  const pair = `${JSON.stringify(key)}: ${value}`
  const last = members.at(-1)
  if (!last) return `${text.slice(0, open)}{\n  ${pair}\n}${text.slice(close + 1)}`
  const indentation = text.slice(open + 1, members[0].start)
  return `${text.slice(0, last.end)},${indentation}${pair}${text.slice(last.end)}`
}

export function withoutMember(text: string, key: string): string {
  const { open, close, members } = outlineOf(text)
  const index = members.findIndex(member => member.key === key)
  if (index < 0) return text
  if (members.length === 1) return text.slice(0, open + 1) + text.slice(close)
  const [from, to] =
    index === 0 ? [members[0].start, members[1].start] : [members[index - 1].end, members[index].end]
  return text.slice(0, from) + text.slice(to)
}
