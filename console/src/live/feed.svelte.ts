import { KvistHttpError, type RawEvent, type Watch } from 'kvist-client'
import { session } from '../api/session.svelte.ts'
import { rateMeter } from './rate.svelte.ts'

/**
 * The one stream of changes of the page, which all widgets share. It carries which members changed, not their values: a
 * widget reads again what it shows.
 *
 * It is opened by the first subscription, reconnects by itself, and after an interruption continues where it was, so that
 * no change is missed. A token that may read only a part of the store sees the changes of that part.
 */

export interface Change {
  readonly type: 'put' | 'leave' | 'delete' | 'expire'
  readonly collection: string
  readonly key: string
  readonly revision: number
}

/** What to be told of: all, a collection, the keys with a prefix, or one member. */
export interface ChangeScope {
  readonly collection?: string
  readonly prefix?: string
  readonly key?: string
}

/**
 * connecting: at first. live: connected. reconnecting: the server is away. offline: this machine has no network. paused:
 * by the person; nothing is shown until resumed. refused: the token may read nothing. stopped: nobody is subscribed.
 */
export type FeedState = 'stopped' | 'connecting' | 'live' | 'reconnecting' | 'offline' | 'paused' | 'refused'

interface Subscription {
  readonly scope: ChangeScope
  readonly onChanges: (changes: readonly Change[]) => void
  /** Called when changes may have been missed: read everything again. */
  readonly onReset: () => void
}

/** Changes are handed on together, this often at most, so that a busy store does not keep the page busy. */
const batchMs = 100
const retryMs = 1000

class Feed {
  state: FeedState = $state('stopped')
  readonly rate = rateMeter()
  readonly #subscriptions = new Set<Subscription>()
  #watch: Watch<RawEvent> | null = null
  /** Where to continue after a pause. */
  #resumePoint: string | undefined
  #pending: Change[] = []
  #timer: ReturnType<typeof setTimeout> | null = null

  constructor() {
    addEventListener('offline', () => {
      if (this.state !== 'paused' && this.state !== 'stopped') this.state = 'offline'
    })
    addEventListener('online', () => {
      if (this.state === 'offline') this.#restart()
    })
  }

  /** Subscribes; returns what ends it. In a component use `$effect(() => feed.onChange(…))`. */
  onChange(
    scope: ChangeScope,
    onChanges: (changes: readonly Change[]) => void,
    onReset: () => void = () => {},
  ): () => void {
    const subscription = { scope, onChanges, onReset }
    this.#subscriptions.add(subscription)
    if (this.state === 'stopped') this.#start()
    return () => {
      this.#subscriptions.delete(subscription)
      // A widget that takes the place of another subscribes at once.
      setTimeout(() => this.#stopUnused())
    }
  }

  pause(): void {
    if (this.state === 'paused') return
    this.#flush()
    this.#end()
    this.state = 'paused'
  }

  /** Continues where it was paused: what happened meanwhile arrives now. */
  resume(): void {
    if (this.state === 'paused') this.#start()
  }

  /** Begins anew, as another token or after the network is back. */
  restart({ fresh = false } = {}): void {
    if (fresh) this.#resumePoint = undefined
    if (this.state !== 'paused') this.#restart()
  }

  #stopUnused(): void {
    if (this.#subscriptions.size > 0) return
    this.#end()
    this.#resumePoint = undefined
    this.state = 'stopped'
  }

  /** Looks whether the server is back, more often than the client's watch, which rests longer from try to try. */
  async #probe(): Promise<void> {
    while (this.state === 'reconnecting') {
      await new Promise((resolve) => setTimeout(resolve, retryMs))
      const isBack = await fetch('/healthz').then(
        ({ ok }) => ok,
        () => false,
      )
      if (isBack && this.state === 'reconnecting') return this.#restart()
    }
  }

  #lost(): void {
    this.state = navigator.onLine ? 'reconnecting' : 'offline'
    void this.#probe()
  }

  #restart(): void {
    this.#end()
    this.#start()
  }

  #start(): void {
    this.state = 'connecting'
    const watch = session.kvist.watchRaw({
      include: 'keys',
      since: this.#resumePoint,
      onConnect: () => {
        if (watch === this.#watch) this.state = 'live'
      },
      onDisconnect: (error) => {
        if (watch === this.#watch) this.#lost()
        session.noticed(error)
      },
    })
    this.#watch = watch
    void this.#read(watch)
  }

  #end(): void {
    const watch = this.#watch
    this.#watch = null
    if (watch === null) return
    this.#resumePoint = watch.resumePoint ?? this.#resumePoint
    void watch.return()
  }

  async #read(watch: Watch<RawEvent>): Promise<void> {
    try {
      for await (const event of watch) {
        if (watch !== this.#watch) return
        this.#take(event)
      }
    } catch (error) {
      if (watch !== this.#watch) return
      this.#end()
      this.#failed(error)
    }
  }

  /** The watch has given up: it was refused, or there was no first connection. */
  #failed(error: unknown): void {
    session.noticed(error)
    if (error instanceof KvistHttpError && error.status < 500 && error.status !== 429) {
      this.state = 'refused'
      // A resume point of another store, as after a restore: begin anew.
      if (error.code === 'invalid_cursor') this.restart({ fresh: true })
      return
    }
    this.#lost()
  }

  #take(event: RawEvent): void {
    if (event.type === 'reset') {
      this.#flush()
      for (const { onReset } of [...this.#subscriptions]) onReset()
      return
    }
    const { collection, key, revision } = JSON.parse(event.json) as Omit<Change, 'type'>
    this.rate.count()
    this.#pending.push({ type: event.type, collection, key, revision })
    this.#timer ??= setTimeout(() => this.#flush(), batchMs)
  }

  #flush(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    const changes = this.#pending
    this.#pending = []
    if (changes.length === 0) return
    for (const { scope, onChanges } of [...this.#subscriptions]) {
      const own = changes.filter((change) => isIn(scope, change))
      if (own.length > 0) onChanges(own)
    }
  }
}

function isIn({ collection, prefix, key }: ChangeScope, change: Change): boolean {
  return (
    (collection === undefined || change.collection === collection) &&
    (key === undefined || change.key === key) &&
    (prefix === undefined || change.key.startsWith(prefix))
  )
}

export const feed = new Feed()
