import type { Content } from './content.ts'
import type { MaybePromise } from './engine.ts'
import { KvistError } from './errors.ts'
import { maxTimeMs, maxValueBytes } from './limits.ts'
import type { Value } from './member.ts'

/**
 * Processes change members that are about to be stored, or refuse them; docs/design/pipeline.md. A collection's run one
 * after the other, each on what the one before made, for every write from every edge.
 */
export interface Process {
  /** Its name in settings and in errors. */
  readonly name: string
  /** The member as it is to be stored. Refuses with `context.refuse`; anything else it throws is a failure of its own. */
  run(draft: Draft, context: ProcessContext): MaybePromise<Draft>
}

/** A member about to be stored, as a process sees it. Its value and its expiry are the process's to change. */
export interface Draft {
  readonly key: string
  /** JSON as text, or bytes; it stays the one or the other. */
  readonly value: Value
  readonly contentType: string
  /** Null for never. */
  readonly expiresAtMs: number | null
}

export interface ProcessContext {
  readonly collection: string
  readonly nowMs: number
  /** Ends the process: the member is not stored, and the client gets the reason. */
  refuse(reason: string): never
}

/** What `refuse` throws. */
export class ProcessRefusal extends Error {}

export function refuse(reason: string): never {
  throw new ProcessRefusal(reason)
}

/** Runs processes by their names. */
export interface ProcessRunner {
  /** Throws `unprocessable` for a name that no process has. */
  requireNames(names: readonly string[]): void
  /** The content that the named processes make of one. Throws `unprocessable`, with the name of the one at fault. */
  run(
    names: readonly string[],
    content: Content,
    about: { readonly collection: string; readonly key: string; readonly nowMs: number },
  ): Promise<Content>
}

/** Processes that fail are reported to `onError`; what they refuse is theirs to refuse. */
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

/** What a process returned, held to what may be stored: users write processes, in any way they like. */
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
