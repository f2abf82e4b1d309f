import { afterEach } from 'bun:test'
import type { Content } from '../../src/core/content.ts'
import { type Database, type DatabaseOptions, openDatabase } from '../../src/core/database.ts'
import type { Engine } from '../../src/core/engine.ts'
import type { FeedEvent, Scope } from '../../src/core/feed/scope.ts'
import type { WatchBatch, WatchBounds, Watcher } from '../../src/core/feed/watcher.ts'
import { keyOf } from '../../src/core/member.ts'
import { nextTick } from '../../src/core/next-tick.ts'
import { openMemory } from '../../src/engines/memory/engine.ts'
import { stepLimit } from './steps.ts'
import { openTestEngine } from './test-engine.ts'

/** What the tests of watchers share. */

export const all: Scope = { collection: null, key: null, prefix: null, filter: null }
export const wide: WatchBounds = { events: 512, bytes: 1 << 20, totalBytes: 64 << 20 }

/** Before the folders go. */
const opened: Database[] = []
afterEach(async () => {
  for (const db of opened.splice(0)) await db.close()
})

export async function open(
  options: Partial<DatabaseOptions> = {},
  wrap: (engine: Engine) => Engine = (engine) => engine,
): Promise<Database> {
  const { open = openTestEngine, ...others } = options
  const db = await openDatabase({
    open: async (onCommit, onSetback) => wrap(await open(onCommit, onSetback)),
    cacheBytes: 1 << 20,
    now: Date.now,
    onError(error) {
      throw error
    },
    ...others,
  })
  opened.push(db)
  return db
}

/** An engine that returns at once, whatever the other tests run on. */
export const atOnce: Partial<DatabaseOptions> = { open: async (onCommit) => openMemory({ onCommit }) }

export function json(value: string, expiresAtMs: number | null = null): Content {
  return { value, contentType: 'application/json', flags: 0, expiresAtMs }
}

export function key(name: string, collection = 'c'): Scope {
  return { ...all, collection, key: name }
}

export function eventsOf(batch: WatchBatch | null): readonly FeedEvent[] {
  if (batch === null || batch.type === 'events') return batch?.events ?? []
  throw new Error('the watcher was reset')
}

export function report({ change }: FeedEvent): string {
  return `${change.type} ${keyOf(change)}${change.type === 'put' ? ` ${change.member.value}` : ''}`
}

export async function next(watcher: Watcher): Promise<string[]> {
  return eventsOf(await watcher.read()).map(report)
}

/** All that there is to read now. */
export async function rest(watcher: Watcher): Promise<string[]> {
  const found: string[] = []
  for (const step = stepLimit('reading what is watched'); ; step()) {
    const batch = await watcher.read()
    if (batch === null) return found
    found.push(...eventsOf(batch).map(report))
  }
}

/** A watcher with what it was woken for counted. */
export function watched(db: Database, scope: Scope, since: string | null): Watcher & { wakes: () => number } {
  let wakes = 0
  const watcher = db.watch(scope, since, () => {
    wakes++
  })
  return {
    read: () => watcher.read(),
    cursor: () => watcher.cursor(),
    close: () => watcher.close(),
    wakes: () => wakes,
  }
}

/** Long enough for everybody who is due to be woken. */
export async function turns(): Promise<void> {
  for (let i = 0; i < 5; i++) await nextTick()
}
