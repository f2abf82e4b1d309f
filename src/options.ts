import { parseArgs } from 'node:util'
import type { Kind } from './option-kinds.ts'

/**
 * Parses command lines by tables of options. Parsing, refusals, help and completion all derive from an option's entry.
 * A flag takes precedence over the environment, the environment over the default, and callers of `parseArguments` only
 * see parsed values.
 *
 * `parseArgs` of Node and Bun splits the arguments because it leaves them unchanged. yargs, which formats our help,
 * turns the operand `-` into an empty text and costs 38 ms at start (docs/design/cli.md).
 */

export interface Option<T> extends Kind<T> {
  /** Without the dashes; missing when only the environment can set it. */
  readonly flag?: string
  /** The short form of the flag, one letter. */
  readonly short?: string
  /** Missing when only a flag can set it. */
  readonly env?: string
  readonly default: T
  readonly help: string
  /** Refusals must not repeat the value. */
  readonly secret?: true
}

/** A positional argument: a key, a file. */
export interface Operand {
  /** Its name in the help. */
  readonly name: string
  readonly help: string
  readonly optional?: true
  /** The last one may be repeated. */
  readonly many?: true
}

// biome-ignore lint/suspicious/noExplicitAny: a table holds options of every type; Values gives each back its own
export type OptionTable = Readonly<Record<string, Option<any>>>

/** The parsed values of a table's options, by name. */
export type Values<Table extends OptionTable> = {
  readonly [Name in keyof Table]: Table[Name] extends Option<infer T> ? T : never
}

export type Environment = Readonly<Record<string, string | undefined>>

/** An error in the command line: its message is one line for people, and the program exits with 2. */
export class UsageError extends Error {}

export function refuse(why: string): never {
  throw new UsageError(why)
}

/** Returns the option, with its type inferred. */
export function option<T>(one: Option<T>): Option<T> {
  return one
}

/** Parses arguments by the tables. Throws UsageError for unknown or missing arguments and for values out of range. */
export function parseArguments<Table extends OptionTable>(
  command: string,
  table: Table,
  operandTable: readonly Operand[],
  args: readonly string[],
  env: Environment,
): { values: Values<Table>; operands: readonly string[] } {
  const { flags, operands } = takeApart(command, Object.values(table), args)
  const missing = operandTable[operands.length]
  if (missing !== undefined && !missing.optional) refuse(`${command} needs ${missing.name}: ${missing.help}`)
  const tooMany = operandTable.at(-1)?.many ? undefined : operands[operandTable.length]
  if (tooMany !== undefined) refuse(`${command} does not know what to do with ${quote(tooMany)}`)
  const entries = Object.entries(table).map(([name, option]) => [
    name,
    resolve(option, flags.get(option), env),
  ])
  return { values: Object.fromEntries(entries), operands }
}

/** Returns the value of an option from its flag, the environment or its default. */
function resolve<T>(option: Option<T>, flag: string | undefined, env: Environment): T {
  if (flag !== undefined) return accept(option, `--${option.flag}`, flag)
  const variable = option.env === undefined ? undefined : env[option.env]
  if (variable !== undefined) return accept(option, `${option.env}`, variable)
  return option.default
}

function accept<T>(option: Option<T>, source: string, given: string): T {
  const value = option.parse(given)
  if (value !== null) return value
  if (given === '') refuse(`${source} is empty: it must be ${option.range}`)
  refuse(`${source} must be ${option.range}${option.secret ? '' : `, not ${quote(given)}`}`)
}

/**
 * Splits arguments into flags and operands. Of a flag given twice the last counts, unless it may be repeated. A switch
 * has the text 'true'.
 */
function takeApart(command: string, rows: readonly Option<unknown>[], args: readonly string[]) {
  const flags = new Map<Option<unknown>, string>()
  const operands: string[] = []
  let operandAt = -1
  for (const token of parseArgs({ args: [...args], options: forParseArgs(rows), strict: false, tokens: true })
    .tokens) {
    if (token.kind === 'option-terminator' || token.index === operandAt) continue
    if (token.kind === 'positional' || isNegativeNumber(token.rawName, rows)) {
      operands.push(args[token.index] ?? '') // a negative number is an operand; parseArgs splits it into several options
      operandAt = token.index
      continue
    }
    const { name, rawName, value } = token
    const option = rows.find((candidate) => candidate.flag === name)
    if (option === undefined)
      refuse(`${command} has no option ${quote(rawName)}: see kvist ${command} --help`)
    if (option.unit === null && value !== undefined) refuse(`${rawName} takes no value`)
    if (option.unit !== null && value === undefined) refuse(`${rawName} needs a value: ${option.range}`)
    const before = option.many ? flags.get(option) : undefined
    flags.set(option, before === undefined ? (value ?? 'true') : `${before},${value}`)
  }
  return { flags, operands }
}

/** Whether an argument such as `-5` is a number: it is unless there is a short option with that character. */
function isNegativeNumber(rawName: string, rows: readonly Option<unknown>[]): boolean {
  return /^-[0-9]/.test(rawName) && !rows.some(({ short }) => `-${short}` === rawName)
}

function forParseArgs(rows: readonly Option<unknown>[]) {
  const entries = rows.flatMap(({ flag, short, unit }) => {
    const type = unit === null ? ('boolean' as const) : ('string' as const)
    return flag === undefined ? [] : [[flag, short === undefined ? { type } : { type, short }] as const]
  })
  return Object.fromEntries(entries)
}

/** Quotes a text on one line, truncated to 80 characters. */
export function quote(given: string): string {
  return JSON.stringify(given.length > 80 ? `${given.slice(0, 80)}…` : given)
}
