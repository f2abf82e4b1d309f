import { setTimeout as sleep } from 'node:timers/promises'
import {
  type Collection,
  type Kvist,
  KvistCompactedError,
  KvistHttpError,
  KvistTimeoutError,
  KvistUnreachableError,
  type RawEvent,
  type ResumePoint,
  type ScopeOptions,
  type Watch,
} from '../../sdk/client.ts'
import { parseExactly } from './exact-json.ts'
import type { ExactChange, Link, Watched } from './watch-lines.ts'

/** Watches by polling. */

export interface PollOptions {
  /** The feed to read. */
  readonly feed: Pick<Kvist, 'changesText'>
  readonly scope: ScopeOptions
  /** The watched member if it is a single one; feed and scope include it. */
  readonly member: { readonly collection: Collection<unknown>; readonly key: string } | null
  /** The start of the watch; null for now. */
  readonly since: ResumePoint | null
  /** Opens a stream, whose start is the current resume point. */
  readonly watch: () => Watch<RawEvent>
  readonly intervalMs: number
  readonly timeoutMs: number
  readonly link: Link
  readonly signal: AbortSignal
}

/**
 * Yields the changes between polls, the latest state of each member. Throws if the first request gets no response, for
 * errors that waiting does not fix, and when the signal is aborted.
 */
export async function* poll(options: PollOptions): AsyncGenerator<Watched, never, void> {
  const { since, link, intervalMs, signal } = options
  let known: number | null | undefined
  const position = { resumePoint: since ?? (await currentResumePoint(options.watch())) }
  for (;;) {
    try {
      const revision = await revisionNow(options)
      if (revision === undefined || revision !== known) {
        let last = revision ?? known // a removal is known only once the feed has it, which for an expiry is later
        for await (const change of changesAfter(options, position)) {
          last = change.type === 'put' ? Number(JSON.stringify(change.revision)) : null
          yield { type: change.type, json: JSON.stringify(change) }
        }
        known = last // not before all is read
      }
    } catch (error) {
      if (error instanceof KvistCompactedError) {
        yield { type: 'reset', json: JSON.stringify({ oldest: error.problem?.oldest }) }
        position.resumePoint = '0'
        continue
      }
      if (!link.wasUp() || !mayPass(error)) throw error
      link.isDown(error)
    }
    await sleep(intervalMs, undefined, { signal })
  }
}

/**
 * Returns the revision of the watched member; null if there is none; undefined if several members are watched. It sends
 * a HEAD, whose cost does not depend on the number of changes.
 */
async function revisionNow({
  member,
  timeoutMs,
  link,
  signal,
}: PollOptions): Promise<number | null | undefined> {
  if (member === null) return undefined
  const found = await member.collection.head(member.key, { timeoutMs, signal })
  link.isUp()
  return found?.revision ?? null
}

/**
 * Returns the resume point after everything that exists. The feed returns it only at its end, but a stream begins with
 * it.
 */
async function currentResumePoint(watch: Watch<RawEvent>): Promise<ResumePoint> {
  const event = watch.next()
  try {
    while (watch.resumePoint === null) await Promise.race([event, sleep(checkEveryMs)])
    return watch.resumePoint
  } finally {
    await watch.return()
  }
}

const checkEveryMs = 5

/** Yields the changes after a position, up to the end of the feed, and advances the position. */
async function* changesAfter(
  { feed, scope, member, timeoutMs, link, signal }: PollOptions,
  position: { resumePoint: ResumePoint },
): AsyncGenerator<ExactChange, void, void> {
  for (;;) {
    const request = { ...scope, since: position.resumePoint, limit: pageChanges, timeoutMs, signal }
    const { changes, next }: ExactPage = parseExactly(await feed.changesText(request))
    link.isUp()
    for (const change of changes) if (member === null || change.key === member.key) yield change
    const resumePoint = typeof next === 'string' ? next : JSON.stringify(next)
    if (changes.length === 0 && resumePoint === position.resumePoint) return
    position.resumePoint = resumePoint
  }
}

const pageChanges = 1000

/** A page of the feed, with the text of its numbers. */
interface ExactPage {
  readonly changes: readonly ExactChange[]
  readonly next: unknown
}

/** Returns whether a retry may succeed. */
function mayPass(error: unknown): error is KvistHttpError | KvistTimeoutError | KvistUnreachableError {
  if (error instanceof KvistHttpError) return error.status === 429 || error.status >= 500
  return error instanceof KvistTimeoutError || error instanceof KvistUnreachableError
}
