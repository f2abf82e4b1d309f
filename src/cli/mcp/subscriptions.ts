import { setTimeout as sleep } from 'node:timers/promises'
import { KvistError } from '../../../sdk/client.ts'
import { complain, explain } from '../explain.ts'
import { collectionIn, parseUri, type Reach, uriOf } from './reach.ts'

/** Follows the feeds of the collections that a client has subscribed to, each by one watch. */
export interface ResourceSubscriptions {
  /** Begins to report changes of these resources. Resolves once none that follows is missed. */
  add(id: string, uris: readonly string[]): Promise<void>
  /** Ends what `add` began. */
  remove(id: string): void
  stop(): void
}

/** How long to wait before the feed of a server that cannot be reached is tried again. */
const retryMs = 1000
/** How long `add` waits for such a server. */
const maxReadyMs = 5000

interface Followed {
  readonly stop: AbortController
  readonly ready: Promise<void>
}

export function startSubscriptions(reach: Reach, onUpdate: (uri: string) => void): ResourceSubscriptions {
  const urisById = new Map<string, readonly string[]>()
  const followed = new Map<string, Followed>()

  function isSubscribed(uri: string): boolean {
    return [...urisById.values()].some((uris) => uris.includes(uri))
  }

  function report(collection: string, key: string | null): void {
    const changed = key === null ? subscribedIn(collection) : [uriOf(collection), uriOf(collection, key)]
    for (const uri of changed.filter(isSubscribed)) onUpdate(uri)
  }

  function subscribedIn(collection: string): string[] {
    return [...new Set([...urisById.values()].flat())].filter(
      (uri) => parseUri(uri)?.collection === collection,
    )
  }

  return {
    async add(id, uris) {
      urisById.set(id, uris)
      const collections = new Set(uris.flatMap((uri) => parseUri(uri)?.collection ?? []))
      for (const name of collections) {
        if (!followed.has(name))
          followed.set(
            name,
            follow(reach, name, (key) => report(name, key)),
          )
      }
      const ready = [...collections].map((name) => followed.get(name)?.ready)
      await Promise.race([Promise.all(ready), sleep(maxReadyMs, undefined, { ref: false })])
    },
    remove(id) {
      urisById.delete(id)
      for (const [name, { stop }] of followed) {
        if (subscribedIn(name).length > 0) continue
        stop.abort()
        followed.delete(name)
      }
    },
    stop() {
      urisById.clear()
      for (const { stop } of followed.values()) stop.abort()
      followed.clear()
    },
  }
}

/** Calls `onChange` with the key of each change; with null if any member may have changed. */
function follow(reach: Reach, name: string, onChange: (key: string | null) => void): Followed {
  const stop = new AbortController()
  const { promise: ready, resolve } = Promise.withResolvers<void>()
  run().catch((error) => {
    if (stop.signal.aborted) return
    complain(`changes of ${name} are not reported: ${explain(error).line}`)
    resolve()
  })
  return { stop, ready }

  async function run(): Promise<void> {
    const { signal } = stop
    for (let tries = 0; !signal.aborted; tries++) {
      const onConnect = () => {
        resolve()
        if (tries > 0) onChange(null)
      }
      try {
        for await (const event of collectionIn(reach, name).watch({ signal, onConnect }))
          onChange(event.type === 'reset' ? null : event.key)
      } catch (error) {
        if (!(error instanceof KvistError) || (error.status !== null && error.status < 500)) throw error
        await sleep(retryMs, undefined, { signal })
      }
    }
  }
}
