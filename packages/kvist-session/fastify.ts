import type { SessionStore } from '@fastify/session'
import { report, type SessionStoreOptions, Sessions } from './sessions.ts'

export type { SessionStoreOptions } from './sessions.ts'

type Session = Parameters<SessionStore['set']>[1]
type Callback = (error?: unknown) => void

/** A store for @fastify/session: `app.register(fastifySession, { store: new KvistFastifyStore({ url }), … })`. */
export class KvistFastifyStore implements SessionStore {
  readonly #sessions: Sessions<Session>

  /** Nothing is sent until a method is called. Throws for a bad URL or option. */
  constructor(options: SessionStoreOptions = {}) {
    this.#sessions = new Sessions(options)
  }

  get(id: string, callback: (error: unknown, session?: Session | null) => void): void {
    report(this.#sessions.get(id), callback)
  }

  set(id: string, session: Session, callback: Callback): void {
    report(this.#sessions.set(id, session), callback)
  }

  destroy(id: string, callback: Callback): void {
    report(this.#sessions.destroy(id), callback)
  }
}
