import session from 'express-session'
import { report, type SessionStoreOptions, Sessions } from './sessions.ts'

export type { SessionStoreOptions } from './sessions.ts'

type Callback = (error?: unknown) => void
type Result<T> = (error: unknown, result?: T) => void
type AllSessions = session.SessionData[] | { [id: string]: session.SessionData } | null

/**
 * A store for express-session: `app.use(session({ store: new KvistExpressStore({ url }), … }))`. A read returns the
 * session without those that have expired. Errors go to the callback; without one they are left out.
 */
export class KvistExpressStore extends session.Store {
  readonly #sessions: Sessions<session.SessionData>

  /** Nothing is sent until a method is called. Throws for a bad URL or option. */
  constructor(options: SessionStoreOptions = {}) {
    super()
    this.#sessions = new Sessions(options)
  }

  override get(id: string, callback: Result<session.SessionData | null>): void {
    report(this.#sessions.get(id), callback)
  }

  override set(id: string, data: session.SessionData, callback?: Callback): void {
    report(this.#sessions.set(id, data), callback)
  }

  override destroy(id: string, callback?: Callback): void {
    report(this.#sessions.destroy(id), callback)
  }

  /** Called for a session that did not change: its expiry is renewed, and nothing else is written. */
  override touch(id: string, data: session.SessionData, callback?: Callback): void {
    report(this.#sessions.touch(id, data), callback)
  }

  /** All sessions, each with its `id`. */
  override all(callback: Result<AllSessions>): void {
    report<AllSessions>(this.#sessions.all(), callback)
  }

  override length(callback: Result<number>): void {
    report(this.#sessions.length(), callback)
  }

  /** Deletes all sessions. A token needs the grant `admin` for it. */
  override clear(callback?: Callback): void {
    report(this.#sessions.clear(), callback)
  }
}
