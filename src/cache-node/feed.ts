import type { HeaderPairs } from '../http/forward.ts'
import type { OriginServer } from './origins.ts'

/** Reads the feed of an origin (`GET /v1/_changes`), without values. */

/** A page of the feed. */
export interface ChangedPage {
  readonly changes: readonly Changed[]
  readonly next: string
  /** There was nothing after this page when the origin read it. */
  readonly isAtEnd: boolean
  /** The id of the store's node. */
  readonly node: string
}

export interface Changed {
  readonly collection: string
  readonly key: string
  readonly revision: number
}

/** The origin responded, but its feed cannot be followed. */
export class RefusedError extends Error {}

/** The feed does not reach back to the cursor, or the cursor is of another store. */
export class LostCursorError extends Error {}

/** How long a page waits for a change. */
export const waitMs = 500
/** The shortest wait that an origin accepts. */
export const noWaitMs = 1
/** How long an origin may take to respond, beside that. */
const patienceMs = 1500
const pageChanges = 1000

export class OriginFeed {
  private readonly origin: OriginServer
  private readonly headers: HeaderPairs
  private readonly stop: AbortSignal

  constructor(origin: OriginServer, headers: HeaderPairs, stop: AbortSignal) {
    this.origin = origin
    this.headers = headers
    this.stop = stop
  }

  /** Returns the id of the origin's node. Rejects with a RefusedError unless everything may be read. */
  async node(): Promise<string> {
    const { node, lookup } = await this.json('/v1/_nodes')
    if (typeof node !== 'string') throw notKvist()
    if (lookup === true)
      throw new RefusedError('it looks members up on other servers, whose changes its feed does not have')
    return node
  }

  /** Returns the cursor of a reader that begins with the next change. */
  async head(): Promise<string> {
    return cursorIn(await this.json('/v1/_changes?since=now&limit=1&include=keys'))
  }

  /** Returns the changes after a cursor; at the end of the feed it waits for the next one. */
  async page(since: string, pageWaitMs: number): Promise<ChangedPage> {
    const query = `since=${encodeURIComponent(since)}&limit=${pageChanges}&include=keys&wait=${pageWaitMs / 1000}`
    const page = await this.json(`/v1/_changes?${query}`)
    const { changes, at_end: isAtEnd, node } = page
    if (!Array.isArray(changes) || !changes.every(isChanged)) throw notKvist()
    if (typeof isAtEnd !== 'boolean' || typeof node !== 'string') throw notKvist()
    return { changes, next: cursorIn(page), isAtEnd, node }
  }

  private async json(target: string): Promise<Record<string, unknown>> {
    const signal = AbortSignal.any([this.stop, AbortSignal.timeout(waitMs + patienceMs)])
    const response = await this.origin.send(target, { method: 'GET', headers: this.headers, signal })
    if (response.status !== 200) throw await failureOf(response)
    const found: unknown = await response.json().catch(() => null)
    if (typeof found !== 'object' || found === null) throw notKvist()
    return found as Record<string, unknown>
  }
}

function cursorIn({ next }: Record<string, unknown>): string {
  if (typeof next === 'string' || typeof next === 'number') return String(next)
  throw notKvist()
}

function isChanged(given: unknown): given is Changed {
  if (typeof given !== 'object' || given === null) return false
  const { collection, key, revision } = given as Record<string, unknown>
  return typeof collection === 'string' && typeof key === 'string' && typeof revision === 'number'
}

function notKvist(): RefusedError {
  return new RefusedError('what responds there is no kvist that can be cached')
}

const refusals: Readonly<Record<number, string>> = {
  401: 'its feed needs a token: --cache-token-file',
  403: 'the token of the cache may not read everything: it needs read on *',
  429: 'it limits the requests of this cache',
  508: 'it is this node itself, or a cache of it',
}

async function failureOf(response: Response): Promise<Error> {
  const { status } = response
  const problem: unknown = await response.json().catch(() => null)
  const code = typeof problem === 'object' && problem !== null && 'code' in problem ? problem.code : null
  if (code === 'compacted' || code === 'invalid_cursor')
    return new LostCursorError('its feed does not reach back to where this cache was')
  const why = refusals[status]
  if (why !== undefined) return new RefusedError(why)
  return status >= 500
    ? new Error(`it responds with ${status}`)
    : new RefusedError(`its feed responds with ${status}: it is no kvist that can be cached`)
}
