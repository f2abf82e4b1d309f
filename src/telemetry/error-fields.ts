import { KvistError } from '../core/errors.ts'

/** How far a chain of causes is followed: one that comes back to itself has to end somewhere. */
const maxCauses = 8

/**
 * What a log says of an error: its name, message and codes, with its causes inside it. The stack is there for what
 * unexpected errors; a KvistError is expected, and its cause is what matters.
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

/** What the system and SQLite add to their errors. */
function codesOf(error: Error): Record<string, unknown> {
  const names = ['code', 'errno', 'syscall', 'path'] as const
  return Object.fromEntries(
    names.flatMap((name) => (name in error ? [[name, Reflect.get(error, name)]] : [])),
  )
}
