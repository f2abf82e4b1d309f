/**
 * JSON as the text that it is: where it is malformed, where a pointer leads, and how it is laid out. Numbers, names and
 * their order stay as they are written, and so do names that occur twice; JSON.parse would lose them.
 */

export interface JsonFault {
  /** An index into the text. */
  readonly at: number
  readonly message: string
}

/** Called for the parts of a text in their order, without what is between them. */
interface Visitor {
  open?(at: number): void
  close?(at: number): void
  comma?(at: number): void
  name?(from: number, to: number): void
  /** A text, a number, true, false or null. */
  scalar?(from: number, to: number): void
}

type Expected = 'value' | 'value or ]' | 'name' | 'name or }' | 'colon' | 'end of value'

const messages: Readonly<Record<Expected, string>> = {
  value: 'A value is missing here',
  'value or ]': 'A value or ] is missing here',
  name: 'A name in double quotes is missing here',
  'name or }': 'A name in double quotes or } is missing here',
  colon: 'A colon is missing here',
  'end of value': 'A comma or the end is missing here',
}

const space = /[ \t\n\r]*/y
const numeral = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![0-9A-Za-z_.+-])/y
const word = /[A-Za-z0-9_.+-]+/y
const escapeSequence = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y

/** Reads a JSON text and returns its first fault; null if there is none. Depth costs no stack. */
export function readJson(text: string, visitor: Visitor = {}): JsonFault | null {
  const open: ('{' | '[')[] = []
  let expected: Expected | 'nothing' = 'value'
  let at = 0
  for (;;) {
    at = matchEnd(space, text, at) ?? at
    const character = text[at]
    if (expected === 'nothing' && character === undefined) return null
    if (expected === 'nothing') return { at, message: 'Nothing may follow the value' }
    if (character === undefined) return { at, message: endMessage(open.at(-1), expected) }
    const end = endOfToken(text, at, character, expected, open.at(-1))
    if (typeof end !== 'number') return end
    if (character === '{' || character === '[') {
      open.push(character)
      visitor.open?.(at)
    } else if (character === '}' || character === ']') {
      open.pop()
      visitor.close?.(at)
    } else if (character === ',') visitor.comma?.(at)
    else if (expected === 'name' || expected === 'name or }') visitor.name?.(at, end)
    else if (character !== ':') visitor.scalar?.(at, end)
    expected = expectedAfter(character, expected, open.at(-1))
    at = end
  }
}

/** Returns where a token ends, or what is wrong with it here. */
function endOfToken(
  text: string,
  at: number,
  character: string,
  expected: Expected,
  within: string | undefined,
): number | JsonFault {
  const fault = (message: string = messages[expected]): JsonFault => ({ at, message })
  if (expected === 'colon') return character === ':' ? at + 1 : fault()
  if (expected === 'end of value') {
    if (character === ',' || character === (within === '{' ? '}' : ']')) return at + 1
    return fault(within === '{' ? 'A comma or } is missing here' : 'A comma or ] is missing here')
  }
  if (expected === 'name or }' && character === '}') return at + 1
  if (expected === 'value or ]' && character === ']') return at + 1
  if (character === '"') return endOfString(text, at)
  if (expected === 'name' || expected === 'name or }') {
    return fault(character === '}' ? 'There is a comma too many before this' : undefined)
  }
  if (character === '{' || character === '[') return at + 1
  if (character === ']' || character === '}')
    return fault(
      expected === 'value' && character === ']' ? 'There is a comma too many before this' : undefined,
    )
  return endOfWord(text, at)
}

function endOfWord(text: string, at: number): number | JsonFault {
  const end = matchEnd(word, text, at)
  if (end === null) return { at, message: messages.value }
  const written = text.slice(at, Math.min(end, at + 40))
  if (/^(?:true|false|null)$/.test(written)) return end
  const endOfNumber = matchEnd(numeral, text, at)
  if (endOfNumber !== null) return endOfNumber
  const isNumber = /^[-+.0-9]/.test(written)
  return { at, message: isNumber ? `${written} is not a number of JSON` : `${written} needs double quotes` }
}

function endOfString(text: string, from: number): number | JsonFault {
  for (let at = from + 1; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === 0x22) return at + 1
    if (code === 0x5c) {
      const end = matchEnd(escapeSequence, text, at)
      if (end === null) return { at, message: `${text.slice(at, at + 2)} is not an escape of JSON` }
      at = end - 1
    } else if (code === 0x0a || code === 0x0d) {
      return { at: from, message: 'This text is not closed on its line; a line break in it is \\n' }
    } else if (code < 0x20) return { at, message: 'A control character in a text must be escaped' }
  }
  return { at: from, message: 'This text is not closed' }
}

function endMessage(within: string | undefined, expected: Expected): string {
  if (within === undefined) return messages[expected]
  return within === '{' ? 'The object is not closed: } is missing' : 'The array is not closed: ] is missing'
}

function expectedAfter(
  character: string,
  expected: Expected,
  within: string | undefined,
): Expected | 'nothing' {
  if (character === '{') return 'name or }'
  if (character === '[') return 'value or ]'
  if (character === ':') return 'value'
  if (character === ',') return within === '{' ? 'name' : 'value'
  if (expected === 'name' || expected === 'name or }') {
    if (character !== '}') return 'colon'
  }
  return within === undefined ? 'nothing' : 'end of value'
}

function matchEnd(pattern: RegExp, text: string, at: number): number | null {
  pattern.lastIndex = at
  return pattern.test(text) ? pattern.lastIndex : null
}

/**
 * Returns the text with each value on a line of its own, or on one line if `indent` is null; null if it is not JSON. A line
 * break at its end stays.
 */
export function layOut(text: string, indent: string | null): string | null {
  const parts: string[] = []
  let depth = 0
  let isFresh = true
  const breakLine = () => {
    if (indent !== null) parts.push('\n', indent.repeat(depth))
  }
  const beforeElement = () => {
    if (isElement) breakLine()
    isElement = false
    isFresh = false
  }
  let isElement = false
  const arrays: boolean[] = []
  const fault = readJson(text, {
    open(at) {
      beforeElement()
      parts.push(text[at]!)
      arrays.push(text[at] === '[')
      depth++
      isFresh = true
      isElement = true
    },
    close(at) {
      depth--
      arrays.pop()
      if (!isFresh) breakLine()
      parts.push(text[at]!)
      isFresh = false
      isElement = false
    },
    comma() {
      parts.push(',')
      isElement = true
    },
    name(from, to) {
      beforeElement()
      parts.push(text.slice(from, to), indent === null ? ':' : ': ')
    },
    scalar(from, to) {
      beforeElement()
      parts.push(text.slice(from, to))
    },
  })
  if (fault !== null) return null
  return parts.join('') + (text.endsWith('\n') ? '\n' : '')
}

/** Returns where the value is that a JSON pointer (RFC 6901) leads to, or what of it exists; null if it is not JSON. */
export function rangeOfPointer(text: string, pointer: string): { from: number; to: number } | null {
  const steps = pointer
    .split('/')
    .slice(1)
    .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'))
  const path: { step: string | number; from: number }[] = []
  let best = { depth: -1, from: 0, to: text.length }
  const step = () => {
    const last = path.at(-1)
    if (typeof last?.step === 'number') last.step++
  }
  const isOnPath = () => path.every(({ step: name }, depth) => String(name) === steps[depth])
  const found = (from: number, to: number) => {
    if (path.length <= steps.length && path.length > best.depth && isOnPath())
      best = { depth: path.length, from, to }
  }
  const fault = readJson(text, {
    open(at) {
      step()
      found(at, at + 1)
      path.push({ step: text[at] === '[' ? -1 : '', from: at })
    },
    close: () => path.pop(),
    name(from, to) {
      path.at(-1)!.step = JSON.parse(text.slice(from, to))
    },
    scalar(from, to) {
      step()
      found(from, to)
    },
  })
  return fault === null ? { from: best.from, to: best.to } : null
}

/** Returns whether JSON.parse and JSON.stringify would write the same values again. */
export function isLossless(text: string): boolean {
  const short = layOut(text.trimEnd(), null)
  if (short === null || short.includes('"__proto__"')) return false
  try {
    return JSON.stringify(JSON.parse(short)) === short
  } catch {
    return false
  }
}

/** Returns the line and the column of a position, from 1. */
export function lineAndColumn(text: string, at: number): { line: number; column: number } {
  const before = text.slice(0, at).split(/\r\n|\n|\r/)
  return { line: before.length, column: before.at(-1)!.length + 1 }
}
