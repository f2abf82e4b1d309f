import { type Identity, Kvist, KvistHttpError } from 'kvist-client'

/**
 * Who this tab is to the server. A token is kept for the tab only (sessionStorage): closing it logs out.
 *
 * checking: asked, not answered yet. open: the server answers this tab. locked: it asks for a token, or refuses the one
 * that was given. unreachable: it does not answer.
 */
type SessionState = 'checking' | 'open' | 'locked' | 'unreachable'

const storageKey = 'kvist-token'

class Session {
  state: SessionState = $state('checking')
  /** Null until the server has said. */
  identity: Identity | null = $state.raw(null)
  /** Why the session is not open. */
  error: unknown = $state.raw(null)
  #token: string | null = $state(sessionStorage.getItem(storageKey))
  /** The client; another one after a log-in, so use it where it is read, and do not keep it. */
  readonly kvist: Kvist = $derived(newClient(this.#token))

  /** Whether a token was given, so that there is something to log out from. */
  get hasToken(): boolean {
    return this.#token !== null
  }

  /** For what the client cannot do; null without one. */
  get authorization(): string | null {
    return this.#token === null ? null : `Bearer ${this.#token}`
  }

  /** Asks the server who this tab is. Rejects with nothing: the state tells. */
  async check(): Promise<void> {
    try {
      this.identity = await this.kvist.whoami({ retries: 1 })
      this.state = 'open'
      this.error = null
    } catch (error) {
      this.error = error
      this.identity = null
      this.state = isUnauthorized(error) ? 'locked' : 'unreachable'
    }
  }

  /** Logs in. Rejects, and keeps no token, if the server does not take it. */
  async logIn(token: string): Promise<void> {
    this.identity = await newClient(token).whoami({ retries: 1 })
    sessionStorage.setItem(storageKey, token)
    this.#token = token
    this.error = null
    this.state = 'open'
  }

  logOut(): Promise<void> {
    sessionStorage.removeItem(storageKey)
    this.#token = null
    this.state = 'checking'
    return this.check()
  }

  /** Call it with the error of any request: one that says that the token is no longer good locks the page. */
  noticed(error: unknown): void {
    if (!isUnauthorized(error)) return
    this.error = error
    this.state = 'locked'
  }
}

function newClient(token: string | null): Kvist {
  return new Kvist(location.origin, token === null ? {} : { token })
}

function isUnauthorized(error: unknown): boolean {
  return error instanceof KvistHttpError && error.code === 'unauthorized'
}

export const session = new Session()
