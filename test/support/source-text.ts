/** TypeScript source with everything taken out that only looks like code. */
export type SourceText = {
  /** Comments are gone, strings and plain templates are `'0'`, `'1'`, …, expressions are `/r/`; lines keep their numbers. */
  readonly code: string
  /** What stood in the strings, by the number in `code`. */
  readonly literals: readonly string[]
}

const COMMENT = /\/\/[^\n]*|\/\*.*?\*\//sy
const STRING = /'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"/sy
const EXPRESSION = /\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/[\\\n])+\/[a-z]*/y

/** Where an operand must follow, a slash begins a regular expression; elsewhere it divides. */
const BEFORE_OPERAND = /(?:^|[(,=:[!&|?{};+\-*%<>~^]|\b(?:return|typeof|case|of|in|await|yield))\s*$/

/** Reads our style of TypeScript. It is no parser: a regular expression as a statement of its own behind `)` is taken for a division. */
export function readSource(text: string): SourceText {
  const literals: string[] = []
  let code = ''
  let position = 0

  const take = (pattern: RegExp): string | null => {
    pattern.lastIndex = position
    const match = pattern.exec(text)
    if (match) position = pattern.lastIndex
    return match ? match[0] : null
  }
  const newlinesOf = (skipped: string) => skipped.replace(/[^\n]/g, '')

  const template = () => {
    const start = ++position
    let isPlain = true
    let lines = ''
    while (position < text.length && text[position] !== '`') {
      if (text.startsWith('${', position)) {
        isPlain = false
        position += 2
        code += `${lines}(`
        lines = ''
        until('}')
        code += ')'
      } else {
        lines += newlinesOf(text[position])
        position += text[position] === '\\' ? 2 : 1
      }
    }
    if (isPlain) code += `'${literals.push(text.slice(start, position)) - 1}'`
    code += lines
    position++
  }

  const until = (closing: string) => {
    for (let depth = 0; position < text.length; ) {
      const character = text[position]
      const isSlash = character === '/'
      const comment = isSlash ? take(COMMENT) : null
      const string = character === "'" || character === '"' ? take(STRING) : null
      if (comment !== null) code += ` ${newlinesOf(comment)}`
      else if (string !== null) code += `'${literals.push(string.slice(1, -1)) - 1}'`
      else if (character === '`') template()
      else if (isSlash && BEFORE_OPERAND.test(code.slice(-80)) && take(EXPRESSION) !== null) code += '/r/'
      else {
        position++
        if (character === closing && depth === 0) return
        if (character === '{') depth++
        if (character === '}') depth--
        code += character
      }
    }
  }

  until('')
  return { code, literals }
}

/** 1-based line of an offset. */
export function lineAt(text: string, offset: number): number {
  return text.slice(0, offset).split('\n').length
}
