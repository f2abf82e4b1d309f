import { isUtf8 } from 'node:buffer'
import { BoundedCache } from '../../core/bounded-cache.ts'
import { KvistError } from '../../core/errors.ts'
import type { Follower } from '../../core/follower.ts'
import { cachedRecordMs, maxCachedRecordBytes } from '../../core/limits.ts'
import { keyOf } from '../../core/member.ts'
import { isObjectText } from '../../json/object.ts'
import { rawMember } from '../../json/scan.ts'

/**
 * minstore's strategy "Cache" (`cache=1`): a request is passed on to the servers of this node, in their order, and the first
 * valid record is kept in memory for later reads. Nothing is written here. The other servers get what the first one made of a write
 * (`mirror=1&bridge=1`), so that they have the same record, and it went through processes once. A record is dropped when it is written or deleted
 * through this node, when it changes in this node's own store, and after `cachedRecordMs`. Requests are passed on without
 * `cache`, so that servers which list each other do not pass them around.
 */

/** The servers to which requests are passed on. */
export interface ServerList {
  readonly urls: readonly string[]
  /** How long a server may take for a read. */
  readonly readTimeoutMs: number
  /** Rejects with `unavailable` if the server has not got the request, with `outcome_unknown` if it may have. */
  send(url: string, request: SentRequest): Promise<{ readonly status: number; readonly body: Uint8Array }>
  /** Called when a server did not take a record that another one has. */
  onMissed(url: string, uid: string, why: string): void
}

export interface ReadRequest {
  /** The path, as the client sent it. */
  readonly target: string
  /** Waits until there is memory for a large response. */
  readonly reserve: (bytes: number) => Promise<void> | undefined
}

export interface WriteRequest extends ReadRequest {
  readonly method: string
  readonly body: { readonly type: string; readonly bytes: Uint8Array }
}

interface SentRequest extends ReadRequest {
  readonly method: string
  readonly body: WriteRequest['body'] | null
  readonly timeoutMs: number
}

export interface CachedRecord {
  readonly text: string
  /** How long ago a server sent it. */
  readonly ageMs: number
}

/** What a server responds to a write that it refuses, as JSON. */
export interface RefusedWrite {
  readonly status: number
  readonly json: string
}

interface Entry {
  /** Null for a record that was dropped: for `settlingMs` what servers send of it is not kept. */
  readonly text: string | null
  readonly atMs: number
  readonly bytes: number
}

/** A request that is under way; the record that it brings is kept unless it is stale. */
interface Load {
  readonly isWrite: boolean
  isStale: boolean
}

const writeTimeoutMs = 30_000
/** In this time a change reaches all servers: until then some of them respond with what was before. */
const settlingMs = 5000
/** Refusals of a write: the request is wrong, whichever server has it. */
const refusals: ReadonlySet<number> = new Set([400, 409, 412, 413, 414, 415, 422])
/** A server that responds so has done nothing. */
const notDone: ReadonlySet<number> = new Set([401, 403, 404, 405, 429, 503, 507])
const maxRefusalBytes = 16 * 1024

export class RecordCache {
  /** Drops the records that change in this node's own store. */
  readonly follower: Follower
  private readonly servers: ServerList
  private readonly monotonicMs: () => number
  private readonly records = new BoundedCache<Entry>(maxCachedRecordBytes)
  private readonly loads = new Map<string, Set<Load>>()

  constructor(collection: string, servers: ServerList, monotonicMs: () => number) {
    this.servers = servers
    this.monotonicMs = monotonicMs
    this.follower = {
      onCommit: (changes) => {
        for (const change of changes) if (change.collection === collection) this.drop(keyOf(change))
      },
      load: async () => this.records.clear(),
    }
  }

  /** Whether there are servers; without any, `cache=1` has no meaning. */
  get isUsed(): boolean {
    return this.servers.urls.length > 0
  }

  /** Forgets a record, and what requests under way bring of it. */
  drop(uid: string): void {
    if (!this.isUsed) return
    this.records.set(uid, { text: null, atMs: this.monotonicMs(), bytes: 0 })
    for (const load of this.loads.get(uid) ?? []) load.isStale = true
  }

  /** Returns a record; null if all servers responded that there is none. Throws `lookup_failed` if one did not respond. */
  async read(uid: string, request: ReadRequest): Promise<CachedRecord | null> {
    const entry = this.records.get(uid)
    const ageMs = entry === undefined ? 0 : this.monotonicMs() - entry.atMs
    if (entry?.text != null && ageMs < cachedRecordMs) return { text: entry.text, ageMs }
    const isSettling = entry?.text === null && ageMs < settlingMs
    return this.loading(uid, { isWrite: false, isStale: isSettling }, async (load) => {
      const failures: string[] = []
      for (const url of this.servers.urls) {
        const asked = { ...request, method: 'GET', body: null, timeoutMs: this.servers.readTimeoutMs }
        try {
          const { status, body } = await this.servers.send(url, asked)
          const text = status === 200 ? recordText(uid, body) : null
          if (text !== null) return this.keep(uid, text, load)
          if (status !== 404) failures.push(`${url} responded ${status}`)
        } catch (error) {
          failures.push(messageOf(error))
        }
      }
      if (failures.length === 0) return null
      throw new KvistError('lookup_failed', `no server has it, or can say so: ${failures.join('; ')}`)
    })
  }

  /** Returns the record as a server wrote it, or its refusal; null if all servers responded that there is none to update. */
  async write(uid: string, request: WriteRequest): Promise<CachedRecord | RefusedWrite | null> {
    // Of writes that overlap, the one that came last here may not be the last there.
    const isStale = Array.from(this.loads.get(uid) ?? []).some(({ isWrite }) => isWrite)
    this.drop(uid)
    return this.loading(uid, { isWrite: true, isStale }, async (load) => {
      const failures: string[] = []
      let isMissing = false
      for (const url of this.servers.urls) {
        const said = await this.sendWrite(url, request, failures)
        if (said === null) continue
        const { status, body } = said
        const text = status === 200 ? recordText(uid, body) : null
        if (text !== null) {
          await this.spread(uid, text, request, url)
          return this.keep(uid, text, load)
        }
        if (refusals.has(status) && body.length <= maxRefusalBytes) return { status, json: refusalText(body) }
        if (status === 404) isMissing = true
        else failures.push(`${url} responded ${status}`)
        if (!notDone.has(status))
          throw new KvistError('outcome_unknown', `${url} responded ${status}: it may have been done`)
      }
      if (isMissing && failures.length === 0) return null
      throw new KvistError('unavailable', `no server did it: ${failures.join('; ')}`)
    })
  }

  /** Sends a write; null if the server has not got it. */
  private async sendWrite(url: string, request: WriteRequest, failures: string[]) {
    try {
      return await this.servers.send(url, { ...request, timeoutMs: writeTimeoutMs })
    } catch (error) {
      if (!(error instanceof KvistError) || error.code !== 'unavailable') throw error
      failures.push(error.message)
      return null
    }
  }

  /** Sends the record that a server made to the others. Those that do not take it in time miss it. */
  private async spread(
    uid: string,
    text: string,
    { target, reserve }: WriteRequest,
    from: string,
  ): Promise<void> {
    const bytes = Buffer.from(new URLSearchParams({ value: text }).toString())
    const request: SentRequest = {
      method: 'PUT',
      target: `${target}?mirror=1&bridge=1`,
      body: { type: 'application/x-www-form-urlencoded', bytes },
      timeoutMs: this.servers.readTimeoutMs,
      reserve,
    }
    const others = this.servers.urls.filter((url) => url !== from)
    await Promise.all(
      others.map(async (url) => {
        try {
          const { status } = await this.servers.send(url, request)
          if (status !== 200) this.servers.onMissed(url, uid, `it responded ${status}`)
        } catch (error) {
          this.servers.onMissed(url, uid, messageOf(error))
        }
      }),
    )
  }

  private keep(uid: string, text: string, load: Load): CachedRecord {
    if (!load.isStale) this.records.set(uid, { text, atMs: this.monotonicMs(), bytes: 2 * text.length })
    return { text, ageMs: 0 }
  }

  private async loading<Result>(
    uid: string,
    load: Load,
    work: (load: Load) => Promise<Result>,
  ): Promise<Result> {
    const loads = this.loads.get(uid) ?? new Set()
    this.loads.set(uid, loads.add(load))
    try {
      return await work(load)
    } finally {
      loads.delete(load)
      if (loads.size === 0) this.loads.delete(uid)
    }
  }
}

export const noServers: ServerList = {
  urls: [],
  readTimeoutMs: 0,
  send: () => Promise.reject(new KvistError('unavailable', 'there are no servers')),
  onMissed() {},
}

/** Returns the text of a record; null if the response of a server is not one with this uid. */
function recordText(uid: string, body: Uint8Array): string | null {
  const text = isUtf8(body) ? Buffer.from(body).toString() : ''
  if (!isJson(text) || !isObjectText(text)) return null
  const own = rawMember(text, 'uid')
  return own !== undefined && JSON.parse(own) === uid ? text : null
}

function refusalText(body: Uint8Array): string {
  const text = Buffer.from(body).toString()
  return isJson(text) ? text : JSON.stringify({ error: text })
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

function messageOf(error: unknown): string {
  if (error instanceof KvistError) return error.message
  throw error
}
