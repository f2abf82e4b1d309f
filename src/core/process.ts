import type { Content } from './content.ts'
import type { MaybePromise } from './engine.ts'
import { KvistError } from './errors.ts'
import { maxTimeMs, maxValueBytes } from './limits.ts'
import type { Value } from './member.ts'

/**
 * A process changes members before they are stored, or refuses them; docs/design/pipeline.md. The processes of a
 * collection run one after the other, each on the result of the one before, for every write through any protocol.
 */
export interface Process {
  /** Its name in settings and in errors. */
  readonly name: string
  /**
   * Returns the member to be stored. It refuses the member with `context.refuse`; anything else that it throws is a
   * failure of the process.
   */
  run(draft: Draft, context: ProcessContext): MaybePromise<Draft>
}

/** The member as a process receives it. A process may change its value and its expiry. */
export interface Draft {
  readonly key: string
  /** JSON text or bytes; a process cannot turn one into the other. */
  readonly value: Value
  readonly contentType: string
  /** Null for never. */
  readonly expiresAtMs: number | null
}

export interface ProcessContext {
  readonly collection: string
  readonly nowMs: number
  /** Throws to end the process: the member is not stored, and the client gets the reason. */
  refuse(reason: string): never
}

/** What `refuse` throws. */
export class ProcessRefusal extends Error {}

export function refuse(reason: string): never {
  throw new ProcessRefusal(reason)
}

/** Runs processes by their names. */
export interface ProcessRunner {
  /** Throws `unprocessable` if there is no process with one of these names. */
  requireNames(names: readonly string[]): void
  /**
   * Runs the named processes on a content and returns the result. Throws `unprocessable`, with the name of the failed
   * process.
   */
  run(
    names: readonly string[],
    content: Content,
    about: { readonly collection: string; readonly key: string; readonly nowMs: number },
  ): Promise<Content>
}

/** Returns a runner of these processes. `onError` is called when a process fails, but not when it refuses a member. */
export function processRunner(
  processes: readonly Process[],
  onError: (error: unknown) => void,
): ProcessRunner {
  const byName = new Map(processes.map((process) => [process.name, process]))

  function named(name: string): Process {
    const process = byName.get(name)
    if (process !== undefined) return process
    const known = [...byName.keys()].join(', ')
    throw new KvistError('unprocessable', `there is no process ${quoted(name)}; there are ${known}`)
  }

  async function runOne(process: Process, content: Content, draft: Draft, context: ProcessContext) {
    try {
      return checked(await process.run(draft, context), content)
    } catch (error) {
      throw unprocessable(process.name, context.collection, draft.key, error, onError)
    }
  }

  return {
    requireNames(names) {
      for (const name of names) named(name)
    },
    async run(names, content, { collection, key, nowMs }) {
      const context = { collection, nowMs, refuse }
      let current = content
      for (const process of names.map(named)) {
        const { value, contentType, expiresAtMs } = current
        current = await runOne(process, current, { key, value, contentType, expiresAtMs }, context)
      }
      return current
    },
  }
}

/**
 * Returns the content that a process returned. Throws if it cannot be stored: users write processes, and may return
 * anything.
 */
function checked(response: unknown, before: Content): Content {
  if (typeof response !== 'object' || response === null) throw new TypeError('it answered no member')
  const { value, expiresAtMs = null }: { value?: unknown; expiresAtMs?: unknown } = response
  if (expiresAtMs !== null && !isTimeMs(expiresAtMs)) throw new TypeError('its expiresAtMs is not a time')
  if (value === before.value) return { ...before, expiresAtMs }
  if (typeof before.value === 'string' && typeof value === 'string') {
    if (!value.isWellFormed()) throw new TypeError('its value is not UTF-8')
    JSON.parse(value)
    requireSize(Buffer.byteLength(value))
    return { ...before, value, expiresAtMs }
  }
  if (typeof before.value !== 'string' && value instanceof Uint8Array) {
    requireSize(value.length)
    return { ...before, value, expiresAtMs }
  }
  throw new TypeError(`its value is not ${typeof before.value === 'string' ? 'the text of JSON' : 'bytes'}`)
}

function isTimeMs(given: unknown): given is number {
  return Number.isSafeInteger(given) && Math.abs(Number(given)) <= maxTimeMs
}

function requireSize(bytes: number): void {
  if (bytes > maxValueBytes) throw new ProcessRefusal(`the value became larger than ${maxValueBytes} bytes`)
}

function unprocessable(
  process: string,
  collection: string,
  key: string,
  error: unknown,
  onError: (error: unknown) => void,
): KvistError {
  if (error instanceof ProcessRefusal) {
    return new KvistError(
      'unprocessable',
      `the process ${process} refused ${quoted(key)}: ${error.message}`,
      {
        process,
      },
    )
  }
  onError(new Error(`the process ${process} failed on ${quoted(key)} in ${collection}`, { cause: error }))
  // The error may reveal internals: it goes to the log, the client gets only the name.
  return new KvistError('unprocessable', `the process ${process} failed on ${quoted(key)}`, { process })
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 64))
}
