/**
 * Sessions of a web site. A session ends half an hour after it was last used; of two requests that change the same session at once
 * neither undoes what the other did.
 */
import { type Collection, Kvist, KvistPreconditionError } from 'kvist-client'

export type Session = Readonly<Record<string, unknown>>

export function sessionStore(sessions: Collection<Session>, expireIn = '30m') {
  return {
    /** Resolves with the id of a new session, for a cookie. */
    async create(session: Session): Promise<string> {
      const id = crypto.randomUUID()
      await sessions.put(id, session, { create: true, expireIn })
      return id
    },

    /** Resolves with the session, and makes it live on; null if it has ended. */
    async load(id: string): Promise<Session | null> {
      const found = await sessions.get(id)
      if (found !== null) await sessions.touch(id, { expireIn })
      return found?.value ?? null
    },

    /** Changes the session, which `change` may see again if another request was faster. Null if it has ended. */
    async update(id: string, change: (session: Session) => Session): Promise<Session | null> {
      for (;;) {
        const found = await sessions.get(id)
        if (found === null) return null
        const changed = change(found.value)
        try {
          await sessions.put(id, changed, { ifRevision: found.revision, expireIn })
          return changed
        } catch (error) {
          if (!(error instanceof KvistPreconditionError)) throw error
        }
      }
    },

    /** Ends the session. */
    destroy: (id: string) => sessions.delete(id),
  }
}

if (import.meta.main) {
  const kvist = new Kvist(process.env.KVIST_URL ?? 'http://127.0.0.1:7070')
  const store = sessionStore(kvist.collection<Session>('sessions'))
  const id = await store.create({ user: 'ada' })
  await store.update(id, (session) => ({ ...session, cart: ['tea'] }))
  console.log(await store.load(id))
  await store.destroy(id)
  console.log(await store.load(id))
}
