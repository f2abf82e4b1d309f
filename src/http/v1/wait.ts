import type { MemberRef } from '../../core/engine.ts'
import { KvistError } from '../../core/errors.ts'
import type { Scope } from '../../core/feed/scope.ts'
import { maxWaitMs } from '../../core/limits.ts'
import type { MemberHead } from '../../core/member.ts'
import { parseDurationMs } from '../../core/time.ts'
import type { RequestContext } from '../context.ts'
import { parametersOf } from '../path.ts'
import type { LongLivedResponse } from '../wire/client-connection.ts'
import type { HttpRequest } from '../wire/request.ts'
import type { Watching } from './watch.ts'

/**
 * Long polls: a `GET` of a member that the client knows, which responds when the member changes, and one of the feed at its
 * end, which responds at the next change.
 */

/** Returns the `wait` parameter in milliseconds; null when missing. Throws `invalid_parameter`. */
export function parseWait(request: HttpRequest): number | null {
  if (request.query === null) return null
  const { wait } = parametersOf(request, ['wait', 'at'])
  return wait === undefined ? null : waitMsOf(wait)
}

/** Parses the text of a `wait` parameter. Throws `invalid_parameter`. */
export function waitMsOf(wait: string): number {
  const waitMs = parseDurationMs(wait)
  if (waitMs > maxWaitMs) {
    const limit = maxWaitMs / 1000
    throw new KvistError('invalid_parameter', `wait is ${limit} seconds at most`, { limit_seconds: limit })
  }
  return waitMs
}

type Reason = 'changed' | 'over' | 'gone'

/**
 * Resolves when the member differs from the known state, the time is up or the server stops, whichever is first. Throws
 * an AbortError when the client disconnects.
 */
export function waitForNews(
  watching: Pick<Watching, 'db' | 'counts'>,
  { collection, key }: MemberRef,
  context: RequestContext,
  waitMs: number,
  isKnown: (member: MemberHead | null) => boolean,
): Promise<void> {
  const scope = { collection, key, prefix: null, filter: null }
  const hasNews = async () => !isKnown(await watching.db.getHead(collection, key))
  return waitWithin(watching, scope, context, waitMs, hasNews)
}

/** As `waitForNews`, until `hasNews` is true: it is asked at first, and again after each change within the scope. */
export async function waitWithin(
  { db, counts }: Pick<Watching, 'db' | 'counts'>,
  scope: Scope,
  context: RequestContext,
  waitMs: number,
  hasNews: () => Promise<boolean>,
): Promise<void> {
  const notice: { reason: Reason | null; wake: () => void } = { reason: null, wake() {} }
  const because = (why: Reason) => () => {
    if (notice.reason === null || why !== 'changed') notice.reason = why
    notice.wake()
  }
  const stopping: LongLivedResponse = { end: because('over') }
  context.connection.register(stopping)
  context.connection.disableTimeout()
  const watcher = db.watch(scope, null, because('changed'))
  const timer = setTimeout(stopping.end, waitMs)
  const goes = because('gone')
  context.connection.onClose(goes)
  counts.open.poll++
  const startedMs = context.elapsedMs()
  try {
    for (;;) {
      // Read after the watch has begun, so that no change is missed.
      if (await hasNews()) {
        counts.events.poll++
        return
      }
      if (notice.reason === null) await new Promise<void>((resolve) => (notice.wake = resolve))
      if (notice.reason === 'gone') throw new DOMException('the client has gone', 'AbortError')
      if (notice.reason === 'over') return
      notice.reason = null
      while ((await watcher.read()) !== null);
    }
  } finally {
    context.waitedMs += context.elapsedMs() - startedMs
    counts.open.poll--
    context.connection.onClose(null)
    clearTimeout(timer)
    watcher.close()
    context.connection.unregister(stopping)
    context.connection.resetTimeout()
  }
}
