import { styleText } from 'node:util'

/** Formats an event for a terminal: the time, the message, then the fields and causes. */
export function readableLine(line: Readonly<Record<string, unknown>>): string {
  const { time, level, message, error, ...fields } = line
  const clock = styleText('dim', localTime(String(time)))
  const words = plain(String(message))
  const said =
    level === 'error' ? styleText('red', words) : level === 'warn' ? styleText('yellow', words) : words
  const rest = Object.entries(fields).map(([name, value]) => styleText('dim', ` ${name}=${shown(value)}`))
  return `${clock} ${said}${rest.join('')}\n${error === undefined ? '' : causes(error)}`
}

function localTime(iso: string): string {
  return new Date(iso).toTimeString().slice(0, 8)
}

/** Formats an error's name, code and stack, with its causes indented below. */
function causes(error: unknown, indent = '  '): string {
  if (typeof error !== 'object' || error === null) return ''
  const { name, code, stack, cause } = error as Readonly<Record<string, unknown>>
  const what = [name, code].filter((one) => one !== undefined && one !== 'Error').join(' ')
  const lines = what === '' ? [] : [what]
  if (typeof stack === 'string') lines.push(...stack.split('\n').filter((line) => /^\s*at /.test(line)))
  const own = lines.map((line) => `${indent}${styleText('dim', plain(line.trim()))}\n`).join('')
  if (cause === undefined) return own
  return `${own}${indent}because: ${plain(messageOf(cause))}\n${causes(cause, `${indent}  `)}`
}

function messageOf(cause: unknown): string {
  return typeof cause === 'object' && cause !== null && 'message' in cause
    ? String(cause.message)
    : String(cause)
}

function shown(value: unknown): string {
  return typeof value === 'string' && /^[\x21\x23-\x7e]+$/.test(value) ? value : plain(JSON.stringify(value))
}

/** Escapes control characters, so that text from clients cannot move a terminal's cursor. */
function plain(text: string): string {
  return text.replace(/\p{Cc}/gu, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
