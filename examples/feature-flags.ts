/**
 * Feature flags: every process of a service has all of them in memory, and learns of a change at once. `kvist put -c flags new-cart
 * '{"percent": 10}'` gives a new cart to every tenth user, always to the same ones.
 */
import { type Collection, Kvist } from 'kvist-client'

export interface Flag {
  /** How many of a hundred users have the feature: 100 is all. */
  readonly percent: number
}

export interface Flags {
  isOn(name: string, user: string): boolean
  stop(): void
}

/** Resolves when all flags are known. */
export async function followFlags(collection: Collection<Flag>, onChange = () => {}): Promise<Flags> {
  const flags = new Map<string, Flag>()
  let since = '0'
  for (let isRead = false; !isRead; ) {
    const { changes, next } = await collection.changesPage({ since })
    for (const change of changes) if (change.type === 'put') flags.set(change.key, change.value)
    isRead = changes.length === 0 && next === since
    since = next
  }
  const stop = new AbortController()
  const watching = follow(stop.signal)
  watching.catch((error) => console.error('flags are not followed any more:', error))
  return {
    isOn: (name, user) => bucketOf(`${name}/${user}`) < (flags.get(name)?.percent ?? 0),
    stop: () => stop.abort(),
  }

  async function follow(signal: AbortSignal) {
    for await (const event of collection.watch({ since, signal })) {
      if (event.type === 'reset')
        flags.clear() // all that exist follow
      else if (event.type === 'put') flags.set(event.key, event.value)
      else flags.delete(event.key)
      onChange()
    }
  }
}

/** A number from 0 to 99 that depends on the text alone (FNV-1a). */
function bucketOf(text: string): number {
  let hash = 0x811c9dc5
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0
  return hash % 100
}

if (import.meta.main) {
  const kvist = new Kvist(process.env.KVIST_URL ?? 'http://127.0.0.1:7070')
  const collection = kvist.collection<Flag>('flags')
  const { promise: changed, resolve } = Promise.withResolvers<void>()
  await collection.delete('new-cart')
  const flags = await followFlags(collection, resolve)
  console.log('new cart for ada:', flags.isOn('new-cart', 'ada'))
  await collection.put('new-cart', { percent: 100 })
  await changed
  console.log('new cart for ada:', flags.isOn('new-cart', 'ada'))
  flags.stop()
}
