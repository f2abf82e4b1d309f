import { checkOptions } from './checks.ts'
import { type Parameters, query, scopeOf } from './names.ts'
import { changesRules } from './option-rules.ts'
import type { ChangesOptions } from './options.ts'
import type { Call, Transport } from './request.ts'
import type { Change, ChangesPage, EndChange, LeaveChange, ResumePoint, WatchEvent } from './types.ts'
import { isJson, type Parse, revive } from './values.ts'
import { type RawEvent, Watch, type WatchOptions } from './watch.ts'

/** Reads the change feed, by page and as a stream. */

/** The feed of the whole store, or of one collection. */
interface Feed<T> {
  readonly transport: Transport
  /** Null for the whole store. */
  readonly collection: string | null
  readonly parse: Parse<T> | null
}

/** A source of changes: a store, or one of its collections. */
export abstract class ChangeSource<T> {
  readonly #feed: Feed<T>

  constructor(feed: Feed<T>) {
    this.#feed = feed
  }

  /** Yields the changes up to now: the latest state of each member, in the order of revisions. */
  changes(options: ChangesOptions = {}): AsyncGenerator<Change<T>, void, void> {
    checkOptions(options, changesRules)
    return iterateChanges(this.#feed, options)
  }

  /**
   * Returns one page of changes: at most 10,000, and 100 if `limit` is not given. It may be short, even empty, while
   * there are more; at the end of the feed it is empty and `next` equals the given `since`. With `waitMs` it waits there
   * for the next change, and `at_end` says whether nothing followed the page.
   */
  async changesPage(options: ChangesOptions = {}): Promise<ChangesPage<T>> {
    checkOptions(options, changesRules)
    return readChanges(this.#feed, options)
  }

  /** Does what `changesPage` does, and returns the server's text: `{"changes": […], "next": …}`. */
  async changesText(options: ChangesOptions = {}): Promise<string> {
    checkOptions(options, changesRules)
    return readChangesText(this.#feed, options)
  }
}

type FeedPath = Omit<Feed<unknown>, 'parse'>

async function readChanges<T>(feed: Feed<T>, options: ChangesOptions): Promise<ChangesPage<T>> {
  const { changes, next, ...rest } = await feed.transport.send(
    pageCall(feed, options),
    feed.transport.json<{
      changes: readonly ShownChange[]
      next: ResumePoint | number
      at_end?: boolean
      node?: string
    }>,
  )
  return { changes: changes.map((change) => reviveChange(change, feed.parse)), next: String(next), ...rest }
}

/** Returns a page as the server sent it, which keeps the text of numbers. */
async function readChangesText(feed: FeedPath, options: ChangesOptions): Promise<string> {
  return feed.transport.send(pageCall(feed, options), (response) => {
    if (!isJson(response.headers.get('content-type') ?? '')) throw feed.transport.notKvist(response)
    return response.text()
  })
}

function pageCall(feed: FeedPath, options: ChangesOptions): Call {
  const { since, limit, include, waitMs } = options
  const wait = waitMs === undefined ? undefined : waitMs / 1000
  const parameters = { since, collection: feed.collection, ...scopeOf(options), limit, include, wait }
  const path = `/v1/_changes${query(parameters)}`
  return { method: 'GET', path, retry: 'idempotent', extraMs: waitMs ?? 0, options }
}

/** Yields changes up to the end of the feed, which is where a page is empty and its `next` equals the given `since`. */
async function* iterateChanges<T>(
  feed: Feed<T>,
  options: ChangesOptions,
): AsyncGenerator<Change<T>, void, void> {
  let since = String(options.since ?? 0)
  for (;;) {
    const { changes, next } = await readChanges(feed, { limit: pageChanges, ...options, since })
    yield* changes
    if (changes.length === 0 && next === since) return
    since = next
  }
}

const pageChanges = 1000

export function watchFeed<T>(
  { transport, parse }: Pick<Feed<T>, 'transport' | 'parse'>,
  path: string,
  parameters: Parameters,
  options: WatchOptions,
): Watch<WatchEvent<T>> {
  return new Watch(transport, path, parameters, options, (event) => readEvent(event, parse))
}

/** Watches the feed and yields events as the server sent them, which keeps the text of numbers. */
export function watchRaw(
  transport: Transport,
  path: string,
  parameters: Parameters,
  options: WatchOptions,
): Watch<RawEvent> {
  return new Watch(transport, path, parameters, options, (event) => event)
}

function readEvent<T>({ type, json, resumePoint }: RawEvent, parse: Parse<T> | null): WatchEvent<T> {
  if (type === 'reset') {
    const { oldest }: { oldest: ResumePoint | number } = JSON.parse(json)
    return { type, oldest: String(oldest), resumePoint }
  }
  const change: ShownChange = JSON.parse(json)
  return { ...reviveChange(change, parse), resumePoint }
}

type ShownChange = EndChange | LeaveChange | { readonly type: 'put'; readonly key: string }

function reviveChange<T>(change: ShownChange, parse: Parse<T> | null): Change<T> {
  return change.type === 'put' ? revive<T, Change<T>>(change, parse) : change
}
