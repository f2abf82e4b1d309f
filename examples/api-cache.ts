/**
 * A cache in front of a slow API. What is asked for often is fetched once, however many programs ask at the same time: the first one
 * fetches it, the others wait for what it stores.
 */
import { type Collection, Kvist, KvistPreconditionError } from 'kvist-client'

export interface CacheOptions {
  /** How long a value is fresh. */
  readonly expireIn: string
  /** How long a program may take to fetch, before another one tries. */
  readonly lockTime?: string
}

export function apiCache<T>(
  values: Collection<T>,
  locks: Collection<true>,
  load: (key: string) => Promise<T>,
  { expireIn, lockTime = '10s' }: CacheOptions,
) {
  return async (key: string): Promise<T> => {
    for (;;) {
      const found = await values.get(key)
      if (found !== null) return found.value
      const lock = await locks.put(key, true, { create: true, expireIn: lockTime }).catch(nullIfTaken)
      if (lock === null) {
        await values.getWhenChanged(key, null, { waitMs: 1000 })
        continue
      }
      try {
        // The one that had the lock before may have stored it since.
        const stored = await values.get(key)
        if (stored !== null) return stored.value
        const value = await load(key)
        await values.put(key, value, { expireIn })
        return value
      } finally {
        await locks.delete(key, { ifRevision: lock.revision }).catch(nullIfTaken)
      }
    }
  }
}

function nullIfTaken(error: unknown): null {
  if (error instanceof KvistPreconditionError) return null
  throw error
}

if (import.meta.main) {
  const kvist = new Kvist(process.env.KVIST_URL ?? 'http://127.0.0.1:7070')
  let loads = 0
  const weather = apiCache(
    kvist.collection<string>('weather'),
    kvist.collection<true>('weather-locks'),
    async (city) => {
      loads++
      return `sunny in ${city}` // await (await fetch(`https://…/${city}`)).json()
    },
    { expireIn: '5m' },
  )
  const cities = await Promise.all(Array.from({ length: 10 }, () => weather('Uppsala')))
  console.log(cities.length, 'times', cities[0], 'with at most', Math.max(1, loads), 'fetch')
}
