import { expect, test } from 'bun:test'
import type {
  Check,
  CommitResult,
  Delete,
  Durability,
  Engine,
  OnCommit,
  OnSetback,
  Put,
  Renew,
  ScanRange,
  Write,
  Written,
} from '../../core/engine.ts'
import { KvistError } from '../../core/errors.ts'
import {
  type Change,
  jsonContentType,
  keyOf,
  type Member,
  type RemovalCause,
  type Renewal,
  revisionOf,
  type Value,
} from '../../core/member.ts'

/** How the suite opens an engine. */
export interface OpenOptions {
  /** Names the store: a new name is an empty store, the same name again is the same store. */
  readonly store: string
  readonly durability: Durability
  readonly onCommit: OnCommit
  readonly onSetback: OnSetback
}

export type OpenEngine = (options: OpenOptions) => Promise<Engine>

/** When a store is closed and opened again in a test of reads; see `Suite.phaseTest`. */
export type Phase = 'as written' | 'with a restart midway' | 'after a restart'

/** The points in which an engine may differ from others, declared by its test. */
export interface Differences {
  /** The members that a commit may span: any, those of one collection, or those of one line of the engine. */
  readonly commitSpans: 'store' | 'collection' | 'line'
  /** The store survives closing and opening the engine. */
  readonly isDurable: boolean
  /** The phases that tests of reads run in; all of them by default. An engine that does not move members needs one. */
  readonly phases?: readonly Phase[]
  /** Makes the engine lose its newest changes; missing where it cannot. */
  readonly lose?: (engine: Engine) => void | Promise<void>
}

/** The store of one test. */
export interface Store {
  readonly engine: Engine
  readonly commitSpans: Differences['commitSpans']
  /** All changes that were reported since the store was first opened. */
  readonly reported: Change[]
  /** All renewals that were reported since the store was first opened. */
  readonly renewals: Renewal[]
  /** How often a setback was reported. */
  readonly setbacks: () => number
  /** Closes the engine and opens it again on the same store; one that is not durable stays open. */
  reopen(): Promise<void>
}

export interface Suite {
  readonly differences: Differences
  /** Defines a test on an empty store. */
  storeTest(name: string, run: (store: Store) => Promise<void>, durability?: Durability): void
  /**
   * Defines a test of reads that runs three times: without a restart, with one before the last step, and with one after
   * it. An engine that moves members from a log to tables then has them in the log, in both, and in the tables. An engine
   * that is not durable is tested once.
   */
  phaseTest(name: string, steps: readonly Step[], check: (store: Store) => Promise<void>): void
}

export type Step = (store: Store) => Promise<unknown>

let stores = 0

export function suiteOf(open: OpenEngine, differences: Differences): Suite {
  async function withStore(durability: Durability, run: (store: Store) => Promise<void>): Promise<void> {
    const opened: Engine[] = []
    const store = await openStore(open, differences, durability, opened)
    try {
      await run(store)
    } finally {
      for (const engine of opened) await engine.close()
    }
  }
  function storeTest(name: string, run: (store: Store) => Promise<void>, durability: Durability = 'full') {
    test(name, () => withStore(durability, run))
  }
  function phaseTest(name: string, steps: readonly Step[], check: (store: Store) => Promise<void>) {
    const last = steps.length - 1
    const phases = [
      ['as written', -1],
      ['with a restart midway', last],
      ['after a restart', steps.length],
    ] as const
    for (const [phase, restartAt] of phases) {
      const isRun = differences.isDurable ? (differences.phases?.includes(phase) ?? true) : restartAt < 0
      if (!isRun) continue
      storeTest(`${name}, ${phase}`, async (store) => {
        for (const [i, step] of steps.entries()) {
          if (i === restartAt) await store.reopen()
          await step(store)
        }
        if (restartAt > last) await store.reopen()
        await check(store)
      })
    }
  }
  return { differences, storeTest, phaseTest }
}

async function openStore(
  open: OpenEngine,
  { commitSpans, isDurable }: Differences,
  durability: Durability,
  opened: Engine[],
): Promise<Store> {
  const reported: Change[] = []
  const renewals: Renewal[] = []
  let setbacks = 0
  const options: OpenOptions = {
    store: `conformance-${process.pid}-${++stores}`,
    durability,
    onSetback() {
      setbacks++
    },
    onCommit(changes) {
      for (const change of changes) {
        if (change.type === 'renew') renewals.push(change)
        else reported.push(change)
      }
    },
  }
  let engine = await open(options)
  opened.push(engine)
  return {
    get engine() {
      return engine
    },
    commitSpans,
    reported,
    renewals,
    setbacks: () => setbacks,
    async reopen() {
      if (!isDurable) return
      await engine.close()
      const again = await open(options)
      opened.splice(opened.indexOf(engine), 1, again)
      engine = again
    },
  }
}

/** The time of commits, unless a test passes another. */
export const noonMs = Date.UTC(2026, 5, 1, 12)
/** The collection of tests that need only one. */
export const collection = 'things'

export interface PutOptions {
  readonly collection?: string
  readonly contentType?: string
  readonly flags?: number
  readonly expiresAtMs?: number | null
}

export function put(key: string, value: Value = '1', options: PutOptions = {}): Put {
  const ofBytes = typeof value === 'string' ? jsonContentType : 'application/octet-stream'
  return {
    op: 'put',
    collection: options.collection ?? collection,
    key,
    value,
    contentType: options.contentType ?? ofBytes,
    flags: options.flags ?? 0,
    expiresAtMs: options.expiresAtMs ?? null,
  }
}

export interface RemoveOptions {
  readonly collection?: string
  readonly cause?: RemovalCause
  readonly ifRevision?: number
  readonly ifExpiresAtMs?: number
}

export function remove(key: string, options: RemoveOptions = {}): Delete {
  const { collection: of = collection, cause = 'delete', ...conditions } = options
  return { op: 'delete', collection: of, key, cause, ...conditions }
}

/** Makes a renewal: a new expiry for the member with a revision. */
export function renew(key: string, ifRevision: number, expiresAtMs: number | null, of = collection): Renew {
  return { op: 'renew', collection: of, key, expiresAtMs, ifRevision }
}

export function check(key: string, revision: number | null, of = collection): Check {
  return { collection: of, key, revision }
}

/** Commits the writes at noon, in as few commits as can span them, and expects that all succeed. */
export function write(store: Store, ...writes: (Write | Renew)[]): Promise<readonly Written[]> {
  return writeAt(store, noonMs, ...writes)
}

export async function writeAt(
  { engine, commitSpans }: Store,
  nowMs: number,
  ...writes: (Write | Renew)[]
): Promise<readonly Written[]> {
  const commits = inCommits(writes, commitSpans).map((some) =>
    engine.commit({ checks: [], writes: some, nowMs }),
  )
  return (await Promise.all(commits)).flatMap(writtenOf)
}

/** Groups the writes, in order, into commits that the engine can span. */
function inCommits(
  writes: readonly (Write | Renew)[],
  commitSpans: Differences['commitSpans'],
): (Write | Renew)[][] {
  const commits: (Write | Renew)[][] = []
  for (const write of writes) {
    const last = commits.at(-1)?.at(-1)
    const isNear =
      last !== undefined &&
      (commitSpans === 'store' || last.collection === write.collection) &&
      (commitSpans !== 'line' || last.key === write.key)
    if (isNear) commits.at(-1)!.push(write)
    else commits.push([write])
  }
  return commits
}

export function writtenOf(result: CommitResult): readonly Written[] {
  if (!result.ok) throw new Error(`the commit was not done: ${JSON.stringify(result)}`)
  return result.written
}

export function attempt(
  { engine }: Store,
  checks: readonly Check[],
  writes: readonly (Write | Renew)[],
  nowMs = noonMs,
): Promise<CommitResult> {
  return engine.commit({ checks, writes, nowMs })
}

export async function read({ engine }: Store, key: string, of = collection): Promise<Member | null> {
  return engine.read(of, key)
}

export type RangeOptions = Partial<ScanRange>

/** Reads all members of a range, page by page; fails when the pages do not end. */
export async function scanAll({ engine }: Store, options: RangeOptions = {}): Promise<Member[]> {
  const found: Member[] = []
  let range: ScanRange = {
    collection,
    from: null,
    to: null,
    order: 'asc',
    limit: 1000,
    keysOnly: false,
    ...options,
  }
  for (let pages = 0; pages < 10_000; pages++) {
    const { members, next } = await engine.scan(range)
    expect(members.length).toBeLessThanOrEqual(range.limit)
    found.push(...members)
    if (next === null) return found
    range = range.order === 'asc' ? { ...range, from: next } : { ...range, to: next }
  }
  throw new Error('the scan went on for ten thousand pages')
}

/** Reads all changes after a cursor, page by page, optionally of one collection or one of its members. */
export async function changesAfter(
  { engine }: Store,
  after = '',
  limit = 1000,
  of?: string,
  key?: string,
): Promise<{ changes: Change[]; next: string }> {
  const changes: Change[] = []
  const scope = of === undefined ? undefined : { collection: of, ...(key === undefined ? {} : { key }) }
  let next = after
  for (let pages = 0; pages < 10_000; pages++) {
    const page = await engine.changes(next, limit, scope)
    expect(page.changes.length).toBeLessThanOrEqual(limit)
    changes.push(...page.changes)
    next = page.next
    if (page.atEnd) return { changes, next }
  }
  throw new Error('the feed went on for ten thousand pages')
}

/** Returns changes in the order of the feed: changes of different lines may be reported in another order. */
export function byRevision(changes: readonly Change[]): Change[] {
  return changes.toSorted((a, b) => revisionOf(a) - revisionOf(b))
}

/** Formats a change as type, key and revision: `put a 7`. */
export function inShort(change: Change): string {
  return `${change.type} ${keyOf(change)} ${revisionOf(change)}`
}

/** Formats a value, so that values compare by their bytes whatever kind of byte array an engine returns. */
export function plainValue(value: Value): string {
  return typeof value === 'string' ? `text ${value}` : `bytes ${Buffer.from(value).toString('hex')}`
}

export async function expectCode(promise: Promise<unknown>, code: string): Promise<void> {
  const error = await promise.then(
    () => null,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(KvistError)
  expect(error instanceof KvistError ? error.code : '').toBe(code)
}

/** Resolves in the next tick of the event loop: an engine in memory never leaves the tick by itself. */
export function nextTick(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
