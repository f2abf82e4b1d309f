import { KvistInputError } from './errors.ts'

/** Checks the arguments of callers: a mistake is an error before anything is sent, and is never retried. */

/** Returns what a value must be; null if it is valid. */
export type Rule = (given: unknown) => string | null

/** A rule for each name of a type. */
export type Rules<Fields> = { readonly [Name in keyof Fields]-?: Rule }

/** Throws a KvistInputError for an unknown option, which would otherwise be ignored, and for a bad value. */
export function checkOptions<Options extends object>(
  given: Options | undefined,
  rules: Rules<Options>,
): void {
  if (given === undefined) return
  checkNames(given, rules, 'option', '')
  const byName: Readonly<Record<string, Rule>> = rules
  for (const [name, value] of Object.entries(given)) checkValue(name, value, byName[name] ?? anything)
}

/** Does what `checkOptions` does, for data, in which a missing name counts as undefined. `where` begins the message. */
export function checkFields<Fields extends object>(
  given: unknown,
  rules: Rules<Fields>,
  where: string,
): asserts given is Fields {
  checkNames(given, rules, 'field', where)
  const fields: Readonly<Record<string, unknown>> = given
  for (const name in rules) checkValue(name, fields[name], rules[name], where)
}

function checkNames(
  given: unknown,
  known: object,
  kind: string,
  where: string,
): asserts given is Readonly<Record<string, unknown>> {
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    throw new KvistInputError(`${where}expected an object of ${kind}s, not ${shown(given)}`)
  for (const name of Object.keys(given)) {
    if (Object.hasOwn(known, name)) continue
    const choice = `known are ${Object.keys(known).join(', ')}`
    throw new KvistInputError(`${where}there is no ${kind} ${shown(name)}; ${choice}`)
  }
}

export function checkValue(name: string, given: unknown, rule: Rule, where = ''): void {
  const must = rule(given)
  if (must !== null) throw new KvistInputError(`${where}${name} must be ${must}, not ${shown(given)}`)
}

/** Returns a short text for a value, in one line. */
export function shown(given: unknown): string {
  if (typeof given === 'string') return JSON.stringify(given.length > 80 ? `${given.slice(0, 80)}…` : given)
  if (typeof given === 'function' || typeof given === 'symbol') return `a ${typeof given}`
  if (typeof given !== 'object' || given === null) return String(given)
  return `a value of type ${given.constructor?.name || 'Object'}`
}

/** Returns a rule that also accepts `undefined`, for an option that is not given. */
export function optional(rule: Rule): Rule {
  return (given) => (given === undefined ? null : rule(given))
}

export function oneOf(...choices: readonly unknown[]): Rule {
  const must = choices.map(shown).join(' or ')
  return (given) => (choices.includes(given) ? null : must)
}

export function wholeNumber(min: number): Rule {
  const must = `a whole number from ${min}`
  return (given) => (Number.isSafeInteger(given) && Number(given) >= min ? null : must)
}

export const anything: Rule = () => null

export const finiteNumber: Rule = (given) => (Number.isFinite(given) ? null : 'a finite number')

export const milliseconds: Rule = (given) =>
  Number.isFinite(given) && Number(given) >= 0 ? null : 'a number of milliseconds, 0 or more'

export const array: Rule = (given) => (Array.isArray(given) ? null : 'an array')

export const callback: Rule = (given) => (typeof given === 'function' ? null : 'a function')

/** Requires well-formed text: half of a surrogate pair would be sent as another character. */
export const text: Rule = (given) =>
  typeof given === 'string' && isWellFormed(given) ? null : 'a text of whole characters'

export const nonEmptyText: Rule = (given) => (given === '' ? 'a text that is not empty' : text(given))

export function isWellFormed(given: string): boolean {
  return !/\p{Surrogate}/u.test(given)
}

export const abortSignal: Rule = (given) =>
  typeof given === 'object' && given !== null && 'aborted' in given && 'addEventListener' in given
    ? null
    : 'an AbortSignal'

const durationForm = /^[0-9]+(?:\.[0-9]+)?[smhd]?$/

/** Requires a duration as the server reads `expire_in`; only the server checks the maximum. */
export const duration: Rule = (given) =>
  (Number.isFinite(given) && Number(given) > 0) || (typeof given === 'string' && durationForm.test(given))
    ? null
    : 'a number of seconds above 0 or a text such as "90s", "15m", "12h", "7d"'

export const durationOrNever: Rule = (given) =>
  given === 'never' || duration(given) === null ? null : `${duration(given)}, "never"`

const timeForm = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/

/** Requires a time. A number is refused, because it could be in seconds or in milliseconds. */
export const time: Rule = (given) => {
  const isTime =
    given instanceof Date ? !Number.isNaN(given.getTime()) : typeof given === 'string' && timeForm.test(given)
  return isTime ? null : 'a Date or a time such as "2030-01-31T12:00:00Z"'
}

/** Requires a time, or null for never. */
export const timeOrNull: Rule = (given) => (given === null ? null : time(given))

/** The content types that the server accepts: type and subtype are tokens of RFC 9110, the rest is visible ASCII. */
const contentTypeForm = /^[\w!#$%&'*+.^`|~-]+\/[\w!#$%&'*+.^`|~-]+[\t ]*(;[\t\x20-\x7e]*)?$/

export const contentType: Rule = (given) =>
  typeof given === 'string' && contentTypeForm.test(given) ? null : 'a content type such as "image/png"'

export const resumePoint: Rule = (given) =>
  (typeof given === 'number' ? wholeNumber(0) : nonEmptyText)(given) === null
    ? null
    : 'a resume point that the server gave, or a revision'

/** Requires a JSON pointer: empty, or names with a slash before each (RFC 6901). */
export const jsonPointer: Rule = (given) =>
  text(given) === null && /^(\/|$)/.test(String(given)) ? null : 'a JSON pointer such as "/visits"'

const tokenForm = /^[\x21-\x7e]{1,4096}$/

/** Throws for a token that no header can carry. The message does not repeat the token. */
export function checkToken(given: unknown): void {
  if (given === undefined || (typeof given === 'string' && tokenForm.test(given))) return
  throw new KvistInputError('the token must be 1 to 4096 visible ASCII characters without spaces')
}
