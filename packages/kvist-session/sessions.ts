import { type Collection, Kvist, type KvistOptions } from 'kvist-client'

/** The options of the client, with the server and the collection that holds the sessions. */
export interface SessionStoreOptions extends KvistOptions {
  /** `http://127.0.0.1:7070` is the default. */
  readonly url?: string
  /** `sessions` is the default. */
  readonly collection?: string
  /** Seconds that a session lasts whose cookie has no expiry, after it was last used; the default is a day. */
  readonly ttl?: number
}

/** What both frameworks have in a session. */
interface SessionData {
  readonly cookie?: { readonly expires?: Date | string | boolean | null | undefined } | undefined
}

const defaultTtlSeconds = 24 * 60 * 60

/** Sessions as members of a collection: the key is the id of the session, the value its JSON, the expiry its cookie's. */
export class Sessions<Session extends SessionData> {
  readonly #members: Collection<Session>
  readonly #ttl: number

  /** Throws for a bad URL or option. */
  constructor(options: SessionStoreOptions) {
    const { url = 'http://127.0.0.1:7070', collection = 'sessions', ttl, ...clientOptions } = options
    if (ttl !== undefined && !(Number.isFinite(ttl) && ttl > 0))
      throw new TypeError('ttl must be a number of seconds above 0')
    this.#members = new Kvist(url, clientOptions).collection(collection)
    this.#ttl = ttl ?? defaultTtlSeconds
  }

  async get(id: string): Promise<Session | null> {
    return (await this.#members.get(id))?.value ?? null
  }

  /** Stores a session; one whose cookie has expired is deleted. */
  async set(id: string, session: Session): Promise<void> {
    const expireIn = this.#secondsLeft(session)
    if (expireIn > 0)
      await this.#members.putRaw(id, JSON.stringify(session), 'application/json', { expireIn })
    else await this.#members.delete(id)
  }

  /** Renews the expiry and leaves the session as it is stored. */
  async touch(id: string, session: Session): Promise<void> {
    const expireIn = this.#secondsLeft(session)
    if (expireIn > 0) await this.#members.touch(id, { expireIn })
    else await this.#members.delete(id)
  }

  async destroy(id: string): Promise<void> {
    await this.#members.delete(id)
  }

  /** Returns all sessions, each with its `id`. */
  async all(): Promise<(Session & { id: string })[]> {
    const sessions: (Session & { id: string })[] = []
    for await (const { key, value } of this.#members.list({ include: 'values' })) {
      sessions.push({ ...value, id: key })
    }
    return sessions
  }

  async length(): Promise<number> {
    let count = 0
    for await (const _ of this.#members.list({ include: 'keys' })) count += 1
    return count
  }

  async clear(): Promise<void> {
    await this.#members.drop()
  }

  /** The clocks of this machine and of the server may differ, so expiries are sent as the time that is left. */
  #secondsLeft({ cookie }: SessionData): number {
    const expires = cookie?.expires
    if (!(expires instanceof Date) && typeof expires !== 'string') return this.#ttl
    return (new Date(expires).getTime() - Date.now()) / 1000
  }
}

/** Passes the outcome of a call to a callback, outside of the promise, so that an error that it throws is an uncaught exception. */
export function report<Result>(
  call: Promise<Result>,
  callback: ((error: unknown, result?: Result) => void) | undefined,
): void {
  call.then(
    (result) => queueMicrotask(() => callback?.(null, result)),
    (error) => queueMicrotask(() => callback?.(error)),
  )
}
