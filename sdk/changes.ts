import { type Parameters, query } from './names.ts'
import type { ChangesOptions } from './options.ts'
import type { Call, Transport } from './request.ts'
import type { Change, ChangesPage, EndChange, ResumePoint, WatchEvent } from './types.ts'
import { isJson, type Parse, revive } from './values.ts'
import { type RawEvent, Watch, type WatchOptions } from './watch.ts'

/** The change feed, by page and as it goes on. */

/** The feed of the whole store, or of one collection. */
export interface Feed<T> {
  readonly transport: Transport
  readonly collection: string | null
  readonly parse: Parse<T> | null
}

type FeedPath = Omit<Feed<unknown>, 'parse'>

export async function readChanges<T>(feed: Feed<T>, options: ChangesOptions): Promise<ChangesPage<T>> {
  const { changes, next } = await feed.transport.send(
    pageCall(feed, options),
    feed.transport.json<{ changes: readonly ShownChange[]; next: ResumePoint | number }>,
  )
  return { changes: changes.map((change) => reviveChange(change, feed.parse)), next: String(next) }
}

/** As the server sent it, with the text of numbers. */
export async function readChangesText(feed: FeedPath, options: ChangesOptions): Promise<string> {
  return feed.transport.send(pageCall(feed, options), (response) => {
    if (!isJson(response.headers.get('content-type') ?? '')) throw feed.transport.notKvist(response)
    return response.text()
  })
}

function pageCall(feed: FeedPath, options: ChangesOptions): Call {
  const { since, prefix, filter, limit, include } = options
  const parameters = { since, collection: feed.collection, prefix, filter, limit, include }
  return { method: 'GET', path: `/v1/_changes${query(parameters)}`, retry: 'idempotent', options }
}

/** Up to the end of the feed, where a page is empty and its `next` is the `since` that was asked for. */
export async function* iterateChanges<T>(
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
  { transport, parse }: Feed<T>,
  path: string,
  parameters: Parameters,
  options: WatchOptions,
): Watch<WatchEvent<T>> {
  return new Watch(transport, path, parameters, options, (event) => readEvent(event, parse))
}

/** As the server sent them, with the text of numbers. */
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

type ShownChange = EndChange | { readonly type: 'put'; readonly key: string }

function reviveChange<T>(change: ShownChange, parse: Parse<T> | null): Change<T> {
  return change.type === 'put' ? revive<T, Change<T>>(change, parse) : change
}
