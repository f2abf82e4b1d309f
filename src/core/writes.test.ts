import { afterAll, describe, expect, test } from 'bun:test'
import { faultOf, until } from '../../test/support/engine.ts'
import { manualTimers } from '../../test/support/manual-timers.ts'
import { openTestEngine } from '../../test/support/test-engine.ts'
import type { Condition } from './condition.ts'
import type { AskedExpiry, NewContent } from './content.ts'
import { type Database, type DatabaseOptions, openDatabase, wholeCollection } from './database.ts'
import type { Engine } from './engine.ts'
import { keyOf } from './member.ts'
import type { Operation } from './operations.ts'
import type { Process } from './process.ts'
import { noSettings } from './settings.ts'

const opened: Database[] = []
afterAll(async () => {
  for (const db of opened) await db.close()
})

const clock = { nowMs: 1_000_000 }
const timers = manualTimers()
const hourMs = 3_600_000

async function open(
  options: Partial<DatabaseOptions> = {},
  wrap: (engine: Engine) => Engine = (engine) => engine,
): Promise<Database> {
  const db = await openDatabase({
    open: async (onCommit) => wrap(await openTestEngine(onCommit)),
    cacheBytes: 1 << 20,
    now: () => clock.nowMs,
    timers,
    onError(error) {
      throw error
    },
    ...options,
  })
  opened.push(db)
  return db
}

function json(value: string, expiresAtMs: AskedExpiry = null): NewContent {
  return { value, contentType: 'application/json', flags: 0, expiresAtMs }
}

const ref = (key: string) => ({ collection: 'c', key })
const member = async (db: Database, key: string) => db.get('c', key)

function increment(key: string, more: Partial<Extract<Operation, { op: 'increment' }>> = {}): Operation {
  return { op: 'increment', ...ref(key), path: '', by: 1, ...more }
}

function touch(key: string, expiresAtMs: number | 'never', condition?: Condition): Operation {
  return { op: 'touch', ...ref(key), expiresAtMs, condition }
}

function put(key: string, value: string, expiresAtMs: AskedExpiry = null): Operation {
  return { op: 'put', ...ref(key), ...json(value, expiresAtMs) }
}

/** Stores `{"by": name}` in place of an object, and rejects what has `"bad"` in it. */
const signing: Process = {
  name: 'sign',
  run(draft, { refuse }) {
    if (String(draft.value).includes('bad')) refuse('it is bad')
    return { ...draft, value: String(draft.value).replace('}', ',"signed":true}') }
  },
}

describe('a touch', () => {
  test('gives any kind of member another expiry, and leaves all else, the feed too', async () => {
    const db = await open()
    const bytes = { value: new Uint8Array([1, 2]), contentType: 'image/png', flags: 7, expiresAtMs: null }
    await db.put('c', 'json', json('{"n": 1.0}'))
    await db.put('c', 'bytes', bytes)
    const before = { json: await member(db, 'json'), bytes: await member(db, 'bytes') }
    const { next } = await db.changes({ collection: null, key: null, prefix: null, filter: null }, '', 10)
    for (const key of ['json', 'bytes'] as const) {
      const { revision, contentType } = before[key]!
      for (const expiresAtMs of [clock.nowMs + 5000, clock.nowMs + 5000, 'never'] as const) {
        const shown = expiresAtMs === 'never' ? null : expiresAtMs
        const touched = await db.touch(ref(key), expiresAtMs)
        expect(touched).toMatchObject({
          revision,
          contentType,
          existed: true,
          expiresAtMs: shown,
          value: null,
        })
        // The first expiry shortens the life: among nodes that is a version of its own.
        const clock = before[key]!.clock + 1
        expect(await member(db, key)).toEqual({ ...before[key]!, clock, expiresAtMs: shown })
      }
    }
    const later = await db.changes({ collection: null, key: null, prefix: null, filter: null }, next, 10)
    expect(later.events).toEqual([])
  })

  test('of nothing does nothing; a condition that does not hold is reported', async () => {
    const db = await open()
    expect(await db.touch(ref('none'), 'never')).toBeNull()
    expect((await faultOf(db.touch(ref('none'), 'never', { ifMatch: 'any' }))).code).toBe(
      'precondition_failed',
    )
    const { revision } = await db.put('c', 'k', json('1', clock.nowMs + 1000))
    const fault = await faultOf(db.touch(ref('k'), 'never', { ifMatch: [revision + 1] }))
    expect([fault.code, fault.extra.revision]).toEqual(['precondition_failed', revision])
    expect(await db.touch(ref('k'), 'never', { ifMatch: [revision] })).toMatchObject({ revision })
    expect((await member(db, 'k'))?.expiresAtMs).toBeNull()
    clock.nowMs += 5000
    await db.put('c', 'over', json('1', clock.nowMs + 1))
    clock.nowMs += 1
    expect(await db.touch(ref('over'), 'never')).toBeNull()
  })

  test('and an increment at once lose neither the number nor the expiry', async () => {
    const db = await open()
    await db.put('c', 'n', json('0', clock.nowMs + hourMs))
    const atMs = clock.nowMs + 2 * hourMs
    const work = Array.from({ length: 50 }, (_, i) => [
      db.execute({ operations: [increment('n')] }),
      db.patch(ref('n'), { kind: 'increment', path: '', by: 1 }),
      db.touch(ref('n'), i === 49 ? 'never' : atMs + i),
    ])
    await Promise.all(work.flat())
    expect(await member(db, 'n')).toMatchObject({ value: '100', expiresAtMs: null })
  })

  test('that comes between an increment and its commit is kept, also by who is not in the way of it', async () => {
    let meanwhile: (() => Promise<unknown>) | null = null
    const db: Database = await open({}, (engine) => ({
      ...engine,
      async readMany(refs) {
        const found = await engine.readMany(refs)
        const work = meanwhile
        meanwhile = null
        await work?.()
        return found
      },
    }))
    const { revision } = await db.put('c', 'n', json('1', clock.nowMs + 1000))
    const renew = {
      op: 'renew',
      ...ref('n'),
      ifRevision: revision,
      expiresAtMs: clock.nowMs + hourMs,
    } as const
    meanwhile = () => db.write([renew as never])
    await db.execute({ operations: [increment('n')] })
    expect(await member(db, 'n')).toMatchObject({ value: '2', expiresAtMs: clock.nowMs + hourMs })
  })

  test('to a time that has passed ends the member, also where a read is about to let it live on', async () => {
    const db = await open()
    await db.setSettings('c', { ...noSettings, defaultTtlMs: hourMs, sliding: true })
    await db.put('c', 'k', json('1'))
    clock.nowMs += 1000
    expect(await member(db, 'k')).not.toBeNull() // it is to be renewed
    await db.touch(ref('k'), clock.nowMs - 1)
    expect(await member(db, 'k')).toBeNull()
    await db.put('c', 'k2', json('1'))
    clock.nowMs += 1000
    expect(await member(db, 'k2')).not.toBeNull()
    const atMs = clock.nowMs + 5000
    await db.touch(ref('k2'), atMs)
    timers.pass(100) // renewals are buffered for that long
    await db.put('c', 'after', json('1'))
    await db.delete('c', 'after')
    expect((await db.page('c', { ...wholeCollection, limit: 10 })).members).toMatchObject([
      { key: 'k2', expiresAtMs: atMs },
    ])
  })
})

describe('an expiry that has passed', () => {
  const pastMs = () => clock.nowMs - 5000
  const ways: Record<string, (db: Database, key: string) => Promise<unknown>> = {
    put: (db, key) => db.put('c', key, json('2', pastMs())),
    'put with a condition': (db, key) => db.put('c', key, json('2', pastMs()), { ifMatch: 'any' }),
    import: (db, key) => db.putAll('c', [{ key, ...json('2', pastMs()) }]),
    batch: (db, key) => db.execute({ operations: [put(key, '2', pastMs())] }),
    'touch in a batch': (db, key) => db.execute({ operations: [touch(key, pastMs())] }),
    touch: (db, key) => db.touch(ref(key), pastMs()),
    patch: (db, key) => db.patch(ref(key), { kind: 'merge', text: '2' }, undefined, pastMs()),
    write: (db, key) => db.write([{ op: 'put', ...ref(key), ...json('2'), expiresAtMs: pastMs() }]),
  }

  for (const [way, write] of Object.entries(ways)) {
    test(`ends a member at once, and watchers see it go: ${way}`, async () => {
      const db = await open()
      await db.put('c', 'k', json('1'))
      const seen: string[] = []
      const scope = { collection: 'c', key: null, prefix: null, filter: null }
      const watcher = db.watch(scope, null, async () => {
        for (let batch = await watcher.read(); batch !== null; batch = await watcher.read()) {
          if (batch.type === 'events')
            seen.push(...batch.events.map(({ change }) => `${change.type} ${keyOf(change)}`))
        }
      })
      await write(db, 'k')
      expect(await member(db, 'k')).toBeNull()
      expect(await db.readMany([ref('k')])).toEqual([null])
      expect((await db.page('c', { ...wholeCollection, limit: 10 })).members).toEqual([])
      expect((await faultOf(db.put('c', 'k', json('3'), { ifMatch: 'any' }))).code).toBe(
        'precondition_failed',
      )
      timers.pass(1000)
      await until(() => seen.length > 0, 'it is seen to go')
      watcher.close()
      expect(seen).toEqual(['expire k'])
      expect(await db.removalCause('c', 'k')).toBe('expire')
    })
  }
})

describe('increments', () => {
  test('return their number, alone and in a batch, after the operations before them', async () => {
    const db = await open()
    const patch = { kind: 'increment', path: '/a/b', by: 2.5 } as const
    await db.put('c', 'deep', json('{"a": {"b": 1.50, "c": [1]}}'))
    expect(await db.patch(ref('deep'), patch)).toMatchObject({ value: '4', existed: true })
    expect((await db.patch(ref('deep'), { kind: 'merge', text: '{}' })).value).toBeNull()
    const { revision } = await db.put('c', 'n', json('41'))
    const outcomes = await db.execute({
      checks: [{ ...ref('n'), revision }],
      operations: [
        increment('n'),
        increment('n', { by: -2 }),
        put('n', '7'),
        increment('n'),
        { op: 'delete', ...ref('n') },
        increment('n', { by: 3 }),
        { op: 'delete', ...ref('none') },
      ],
    })
    expect(outcomes.map(({ value }) => value)).toEqual(['42', '40', null, '8', null, '3', null])
    expect(outcomes.map((outcome) => outcome.revision - revision)).toEqual([1, 2, 3, 4, 5, 6, -revision])
    expect(await member(db, 'n')).toMatchObject({ value: '3' })
  })

  test('give the expiry of what they make to that alone', async () => {
    const db = await open()
    const ifCreated = { expiresAtMs: clock.nowMs + 60_000 }
    const patch = { kind: 'increment', path: '', by: 1, ifCreated } as const
    expect(await db.patch(ref('a'), patch)).toMatchObject({ value: '1', expiresAtMs: ifCreated.expiresAtMs })
    const later = { ...patch, ifCreated: { expiresAtMs: clock.nowMs + 90_000 } }
    expect(await db.patch(ref('a'), later)).toMatchObject({ value: '2', expiresAtMs: ifCreated.expiresAtMs })
    await db.put('c', 'forever', json('1'))
    expect(await db.patch(ref('forever'), patch)).toMatchObject({ value: '2', expiresAtMs: null })
    const [first, second] = await db.execute({
      operations: [increment('b', { ifCreated }), increment('b', later)],
    })
    expect([first, second]).toMatchObject([
      { value: '1', expiresAtMs: ifCreated.expiresAtMs },
      { value: '2', expiresAtMs: ifCreated.expiresAtMs },
    ])
    clock.nowMs += 60_000
    expect(
      await db.patch(ref('a'), { ...patch, ifCreated: { expiresAtMs: clock.nowMs + 60_000 } }),
    ).toMatchObject({
      value: '1',
      existed: false,
      expiresAtMs: clock.nowMs + 60_000,
    })
  })

  test('in a collection with a default expiry begin with it, or with what they say, also with never', async () => {
    const db = await open()
    await db.setSettings('c', { ...noSettings, defaultTtlMs: hourMs })
    const expiries: [AskedExpiry | undefined, number | null][] = [
      [undefined, clock.nowMs + hourMs],
      [null, clock.nowMs + hourMs],
      [clock.nowMs + 5, clock.nowMs + 5],
      ['never', null],
    ]
    for (const [i, [expiresAtMs, shown]] of expiries.entries()) {
      const ifCreated = expiresAtMs === undefined ? undefined : { expiresAtMs }
      const [outcome] = await db.execute({ operations: [increment(`k${i}`, { ifCreated })] })
      expect(outcome).toMatchObject({ value: '1', expiresAtMs: shown })
    }
  })
})

describe('a batch', () => {
  test('touches what is there, what it has just put, and nothing else', async () => {
    const db = await open()
    const { revision } = await db.put('c', 'old', json('1'))
    const atMs = clock.nowMs + hourMs
    const outcomes = await db.execute({
      operations: [
        touch('old', atMs),
        touch('old', atMs + 1),
        put('new', '2', clock.nowMs + 5),
        touch('new', 'never'),
        touch('none', atMs),
        increment('old'),
        touch('old', atMs + 2),
        put('over', '1', clock.nowMs),
        touch('over', atMs),
      ],
    })
    const [first, second, third, fourth, fifth] = outcomes
    expect([first?.revision, second?.revision, fifth?.revision]).toEqual([revision, revision, 0])
    expect(fourth?.revision).toBe(third!.revision)
    expect(outcomes[6]?.revision).toBe(outcomes[5]!.revision)
    expect(outcomes[8]?.revision).toBe(0)
    expect(await member(db, 'old')).toMatchObject({ value: '2', expiresAtMs: atMs + 2 })
    expect(await member(db, 'new')).toMatchObject({ value: '2', expiresAtMs: null })
    expect([await member(db, 'none'), await member(db, 'over')]).toEqual([null, null])
  })

  test('in which one operation fails does nothing', async () => {
    const db = await open()
    await db.put('c', 'text', json('"x"'))
    const fault = await faultOf(
      db.execute({ operations: [put('a', '1'), touch('text', clock.nowMs + 5), increment('text')] }),
    )
    expect([fault.code, fault.extra.key]).toEqual(['unprocessable', 'text'])
    expect(await member(db, 'a')).toBeNull()
    expect((await member(db, 'text'))?.expiresAtMs).toBeNull()
  })
})

describe('what is done to a write before it is stored', () => {
  const options = { processes: [signing] }
  const signed = { ...noSettings, processes: ['sign'], defaultTtlMs: hourMs }
  const isSigned = { expiresAtMs: 0, value: '{"a":1,"signed":true}' }
  const ways: Record<string, (db: Database, content: NewContent) => Promise<unknown>> = {
    put: (db, content) => db.put('c', 'k', content),
    'put with a condition': (db, content) => db.put('c', 'k', content, { ifNoneMatch: 'any' }),
    batch: (db, content) => db.execute({ operations: [{ op: 'put', ...ref('k'), ...content }] }),
    import: (db, content) => db.putAll('c', [{ key: 'k', ...content }]),
    'execute, with more alongside': (db, content) =>
      db.execute({ operations: [{ op: 'put', ...ref('k'), ...content }], alongside: { writes: () => [] } }),
  }

  for (const [way, write] of Object.entries(ways)) {
    test(`is the same by ${way}`, async () => {
      const db = await open(options)
      await db.setSettings('c', signed)
      await write(db, json('{"a":1}'))
      expect(await member(db, 'k')).toMatchObject({ ...isSigned, expiresAtMs: clock.nowMs + hourMs })
      await db.delete('c', 'k')
      await write(db, json('{"a":1}', 'never'))
      expect(await member(db, 'k')).toMatchObject({ ...isSigned, expiresAtMs: null })
      await db.setSettings('c', null)
      await db.delete('c', 'k')
      await write(db, json('{"a":1}', 'never'))
      expect(await member(db, 'k')).toMatchObject({ value: '{"a":1}', expiresAtMs: null })
    })
  }

  test('is done once to each put, and to what a change makes of a value', async () => {
    const db = await open(options)
    await db.setSettings('c', signed)
    await db.execute({ operations: [put('k', '{"n":1}'), increment('k', { path: '/n' })] })
    expect(await member(db, 'k')).toMatchObject({ value: '{"n":2,"signed":true,"signed":true}' })
    await db.touch(ref('k'), 'never')
    await db.update(ref('k'), (current) => ({ op: 'put', ...ref('k'), ...current!, flags: 9 }))
    expect(await member(db, 'k')).toMatchObject({ flags: 9, value: '{"n":2,"signed":true,"signed":true}' })
    expect((await faultOf(db.execute({ operations: [put('a', '1'), put('b', '{"bad":1}')] }))).code).toBe(
      'unprocessable',
    )
    expect(await member(db, 'a')).toBeNull()
  })

  test('is not done to what went through it before', async () => {
    const db = await open(options)
    await db.setSettings('c', signed)
    await db.put('c', 'k', json('{"bad":1}'), undefined, 'prepared')
    const operations: Operation[] = [put('k2', '{"bad":1}')]
    await db.execute({ operations, isTransformed: true })
    for (const key of ['k', 'k2'])
      expect(await member(db, key)).toMatchObject({ value: '{"bad":1}', expiresAtMs: null })
  })
})

describe('what is written alongside', () => {
  const record = (key: string, value: string) =>
    ({ op: 'put', collection: '_records', key, ...json(value), expiresAtMs: null }) as const

  test('is committed with the operations or not at all, and knows what they come to', async () => {
    const db = await open()
    const { revision } = await db.put('c', 'old', json('1'))
    const plans: unknown[] = []
    const command = (key: string, operations: Operation[]) => ({
      operations,
      alongside: {
        checks: [{ collection: '_records', key, revision: null }],
        writes: ({
          writes,
          operations,
        }: {
          writes: readonly unknown[]
          operations: readonly { current: unknown }[]
        }) => {
          plans.push([writes.length, operations.map(({ current }) => current !== null)])
          return [record(key, '"done"')]
        },
      },
    })
    const outcomes = await db.execute(command('first', [put('old', '2'), put('new', '3')]))
    expect(outcomes.map((outcome) => outcome.revision)).toEqual([revision + 1, revision + 2])
    expect(plans).toEqual([[2, [true, false]]])
    expect(await db.get('_records', 'first')).toMatchObject({ value: '"done"', revision: revision + 3 })
    const again = await faultOf(db.execute(command('first', [put('old', '9')])))
    expect([again.code, again.extra.collection]).toEqual(['precondition_failed', '_records'])
    await faultOf(db.execute(command('second', [put('new', '4'), increment('old', { path: '/x' })])))
    expect(await db.get('_records', 'second')).toBeNull()
    expect([(await member(db, 'old'))?.value, (await member(db, 'new'))?.value]).toEqual(['2', '3'])
  })
})
