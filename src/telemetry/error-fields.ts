import { KvistError } from '../core/errors.ts'

/** The maximum depth of a chain of causes, because it may be cyclic. */
const maxCauses = 8

/**
 * Returns the log fields of an error: its name, message and codes, with its causes nested. Only unexpected errors have
 * a stack; a KvistError is expected, and its cause is what matters.
 */
export function errorFields(error: unknown, depth = 0): unknown {
  if (!(error instanceof Error)) return typeof error === 'object' ? String(error) : error
  const { name, message, stack, cause } = error
  return {
    name,
    message,
    ...codesOf(error),
    ...(error instanceof KvistError || stack === undefined ? {} : { stack }),
    ...(cause === undefined || depth >= maxCauses ? {} : { cause: errorFields(cause, depth + 1) }),
  }
}

/** Returns the properties that the system and SQLite add to their errors. */
function codesOf(error: Error): Record<string, unknown> {
  const names = ['code', 'errno', 'syscall', 'path'] as const
  return Object.fromEntries(
    names.flatMap((name) => (name in error ? [[name, Reflect.get(error, name)]] : [])),
  )
}
