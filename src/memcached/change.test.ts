import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { seedOfRun } from '../../test/support/random.ts'
import type { Database } from '../core/database.ts'
import { KvistError } from '../core/errors.ts'
import type { Member } from '../core/member.ts'
import { asAsked } from '../core/plan.ts'
import { noSettings, type Settings } from '../core/settings.ts'
import { type Decided, type Decision, startChanges } from './change.ts'
import type { Command, Count, MetaCount, MetaDelete, MetaGet, MetaStore, StoreCommand } from './command.ts'
import {
  decideCount,
  decideMetaDelete,
  decideMetaGet,
  decideStore,
  type Item,
  type ItemWrite,
} from './decide.ts'
import { CommandParser } from './protocol.ts'

const nowMs = 1_800_000_000_000

/** A store of one member whose results come in a later tick, with another write in between when the test asks for it. */
function oneMember(settings: Settings = noSettings) {
  let member: Member | null = null
  let revision = 100
  let updates = 0
  let intruder: (() => void) | null = null
  function put(value: string, expiresAtMs: number | null = null): void {
    revision++
    const rest = { key: 'k', createdAtMs: 0, clock: 0, node: '', contentType: 'application/json', flags: 0 }
    member = { ...rest, value, revision, expiresAtMs }
  }
  const db = {
    settings: () => settings,
    async update(_ref, decide) {
      updates++
      for (;;) {
        const before: Member | null = member
        const write = decide(before, nowMs)
        await Bun.sleep(1)
        intruder?.()
        intruder = null
        if (member !== before) continue
        if (write === null) return null
        revision++
        member =
          write.op === 'put' ? { ...asAsked(write), revision, createdAtMs: 0, clock: 0, node: '' } : null
        return { revision, createdAtMs: 0, clock: 0, existed: before !== null }
      }
    },
  } satisfies Pick<Database, 'settings' | 'update'>
  return {
    db,
    put,
    member: () => member,
    updates: () => updates,
    intrude: (by: () => void) => {
      intruder = by
    },
  }
}

type Changing = StoreCommand | MetaStore | Count | MetaCount | MetaDelete | MetaGet

function commands(text: string): Changing[] {
  const parser = new CommandParser(1000)
  parser.push(Buffer.from(text))
  const all: Changing[] = []
  for (let one: Command | null = parser.next(); one !== null; one = parser.next()) {
    if (!('key' in one) || one.kind === 'delete' || one.kind === 'touch' || one.kind === 'metaDebug') {
      throw new Error(`${text} is not made of changes`)
    }
    all.push(one)
  }
  return all
}

function decide(command: Changing, found: Item | null): Decision<unknown> {
  switch (command.kind) {
    case 'store':
    case 'metaStore':
      return changeOf(decideStore(command, found, nowMs, 1000))
    case 'count':
    case 'metaCount':
      return changeOf(decideCount(command, found, nowMs))
    case 'metaDelete': {
      const outcome = decideMetaDelete(command, found, nowMs)
      return outcome.status === 'deleted' ? { outcome, write: 'delete' } : changeOf(outcome)
    }
    case 'metaGet':
      return changeOf(decideMetaGet(command, found, nowMs))
  }
}

function changeOf(outcome: { status: string; write?: ItemWrite | null }): Decision<unknown> {
  return { outcome, write: outcome.write ?? null }
}

function make(store: ReturnType<typeof oneMember>, texts: readonly string[]): Promise<Decided<unknown>[]> {
  const change = startChanges(store.db, 'cache', 'full')
  return Promise.all(texts.flatMap(commands).map((one) => change('k', (found) => decide(one, found))))
}

const block = (line: string): string => `${line} 1\r\n5\r\n`

test('changes that wait are decided together, each on what the one before it leaves, and written once', async () => {
  const store = oneMember()
  store.put('1')
  const done = await make(store, [
    'incr k 1\r\n',
    'incr k 1\r\n',
    'incr k 5\r\n',
    block('append k 0 0'),
    'decr k 2\r\n',
  ])
  expect(done.map(({ outcome }) => outcome)).toMatchObject([
    { number: 2n },
    { number: 3n },
    { number: 8n },
    { status: 'stored' },
    { number: 83n },
  ])
  expect(store.updates()).toBe(2)
  expect(store.member()).toMatchObject({ value: '83', revision: 103 })
})

test('one that was overtaken gets a revision that is no longer stored', async () => {
  const store = oneMember()
  store.put('1')
  const revisions = (await make(store, ['ma k\r\n', 'ma k\r\n', 'ma k\r\n', 'md k C1 I\r\n'])).map(
    (one) => one.revision,
  )
  const { revision } = store.member()!
  expect(revisions).toEqual([102, revision - 1, revision, revision])
})

test('a cas that was sent before the change ahead of it comes too late', async () => {
  const store = oneMember()
  store.put('1')
  const done = await make(store, [
    'ma k\r\n',
    'ma k\r\n',
    'cas k 0 0 1 101\r\n5\r\n',
    `ma k C${2 ** 53 - 1}\r\n`,
  ])
  expect(done.map(({ outcome }) => outcome)).toMatchObject([
    {},
    {},
    { status: 'exists' },
    { status: 'exists' },
  ])
})

test('when somebody else writes in between, all are decided anew', async () => {
  const store = oneMember()
  store.put('1')
  store.intrude(() => store.put('100'))
  const done = await make(store, ['incr k 1\r\n', 'incr k 1\r\n', 'incr k 1\r\n'])
  expect(done.map(({ outcome }) => outcome)).toMatchObject([
    { number: 101n },
    { number: 102n },
    { number: 103n },
  ])
})

test('where processes transform each value, each change is written by itself', async () => {
  const store = oneMember({ ...noSettings, processes: ['any'] })
  store.put('1')
  await make(store, ['incr k 1\r\n', 'incr k 1\r\n', 'incr k 1\r\n'])
  expect(store.updates()).toBe(3)
})

test('a failure rejects for all that waited, and the next one is tried', async () => {
  let fails = 2
  const store = oneMember()
  const db = {
    ...store.db,
    async update(...args: Parameters<Database['update']>) {
      await Bun.sleep(1)
      if (fails-- === 2) throw new KvistError('closing', 'before anything is decided')
      args[1](null, nowMs)
      throw new KvistError('storage_full', 'afterwards')
    },
  }
  const change = startChanges(db, 'cache', 'full')
  const add = () => change('k', () => ({ outcome: null, write: null }))
  const first = await Promise.allSettled([add(), add()])
  const second = await Promise.allSettled([add(), add()])
  const codes = [...first, ...second].map((one) => one.status === 'rejected' && one.reason.code)
  expect(codes).toEqual(['closing', 'closing', 'storage_full', 'storage_full'])
})

test('together they come to what they come to one by one', async () => {
  const request = fc.oneof(
    fc.constantFrom(...['add', 'replace', 'append', 'prepend', 'set'].map((name) => block(`${name} k 3 0`))),
    fc.constantFrom(...['add', 'set'].map((name) => block(`${name} k 0 -1`))),
    fc.constantFrom('incr k 7\r\n', 'decr k 2\r\n', 'ma k N0 J3\r\n', 'ma k N100 T0 MD\r\n'),
    fc.constantFrom('md k\r\n', 'md k I T30\r\n', 'md k x\r\n', 'md k C5\r\n'),
    fc.constantFrom('mg k N30\r\n', 'mg k R60 T30\r\n', 'mg k T0\r\n', 'mg k v\r\n', 'ms k 1 C5 I\r\n5\r\n'),
    fc.constantFrom('ms k 1 MA N0\r\n5\r\n', 'cas k 0 0 1 1000\r\n5\r\n'),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(request, { maxLength: 12, size: 'max' }), async (texts) => {
      const together = oneMember()
      const alone = oneMember({ ...noSettings, processes: ['any'] })
      const outcomes = (done: Decided<unknown>[]) => done.map(({ outcome }) => withoutRevisions(outcome))
      expect(outcomes(await make(together, texts))).toEqual(outcomes(await make(alone, texts)))
      expect(withoutRevisions(together.member())).toEqual(withoutRevisions(alone.member()))
    }),
    { seed: seedOfRun(), numRuns: 100 },
  )
})

function withoutRevisions(value: unknown): unknown {
  const names = ['revision', 'writtenAtMs']
  return JSON.parse(
    JSON.stringify(value, (name, one) =>
      names.includes(name) ? 0 : typeof one === 'bigint' ? `${one}` : one,
    ),
  )
}
