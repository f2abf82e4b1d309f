/**
 * Lets each client send so many requests in a window of time, which begins with the first of them. The server counts, so that any
 * number of programs share the limit, and none lets one too many in.
 */
import { type Collection, Kvist } from 'kvist-client'

export interface Verdict {
  readonly isAllowed: boolean
  readonly left: number
  /** When the window ends. */
  readonly resetsAt: Date
}

export function rateLimiter(windows: Collection<number>, limit: number, window: string) {
  return async (client: string): Promise<Verdict> => {
    const { value, expires_at } = await windows.increment(client, 1, { ifCreated: { expireIn: window } })
    return {
      isAllowed: value <= limit,
      left: Math.max(0, limit - value),
      resetsAt: new Date(expires_at ?? 0),
    }
  }
}

if (import.meta.main) {
  const kvist = new Kvist(process.env.KVIST_URL ?? 'http://127.0.0.1:7070')
  const ask = rateLimiter(kvist.collection<number>('rate-windows'), 3, '1m')
  const client = crypto.randomUUID() // the address of a client, say, or the id of its account
  for (let i = 0; i < 4; i++) console.log((await ask(client)).isAllowed ? 'let in' : 'too many')
}
