import { expect } from 'bun:test'
import type { Engine, Put } from '../src/core/engine.ts'
import { keyOf, type Value } from '../src/core/member.ts'
import { lineKeys } from '../src/engines/redis/layout.ts'
import { faultOf } from './support/engine.ts'
import { needing } from './support/needs.ts'
import { type RedisServer, startRedis } from './support/redis-cluster.ts'
import { openTestRedis } from './support/redis-engine.ts'

/** A line that is what it was some commits ago, written on by another server, as after a failover to a late replica. */

const { test, beforeAll, afterAll } = needing('redis')

let server: RedisServer & { stop(): Promise<void> }
beforeAll(async () => {
  server = await startRedis({ config: { appendfsync: 'no' } })
})
afterAll(() => server?.stop())

function put(key: string, value: Value): Put {
  const content = { value, contentType: 'application/json', flags: 0, expiresAtMs: null }
  return { op: 'put', collection: 'c', key, ...content }
}

async function write(engine: Engine, one: Put): Promise<number> {
  const result = await engine.commit({ checks: [], writes: [one], nowMs: Date.now() })
  if (!result.ok) throw new Error('it was not done')
  return result.written[0]!.revision
}

/** Copies the keys of a store with one line; returns what puts them back, as if another server had written them. */
async function copyOf(prefix: string): Promise<() => Promise<void>> {
  const { slot, channel, ...keys } = lineKeys(prefix, 1)[0]!
  const names = Object.values(keys)
  const copies = await Promise.all(names.map((name) => server.command('DUMP', name)))
  return async () => {
    for (const [i, name] of names.entries()) {
      await server.command('RESTORE', name, 0, copies[i] as Buffer, 'REPLACE')
    }
    await server.command('HSET', keys.head, 'owner', '0'.repeat(40))
  }
}

test('lost changes are reported, and cursors at them are refused from then on; revisions do not come again', async () => {
  let setbacks = 0
  const options = { prefix: 'lost', lines: 1, onCommit() {}, onSetback: () => void setbacks++ }
  const engine = await openTestRedis([server], options)
  const other = await openTestRedis([server], { ...options, onSetback() {} })
  try {
    await write(engine, put('a', '1'))
    const kept = engine.head()
    const goBack = await copyOf('lost')
    await write(engine, put('a', '2'))
    const lost = await write(engine, put('gone', '1'))
    const cursor = engine.head()
    await goBack()
    const refused = async () => (await faultOf((async () => engine.changes(cursor, 10))())).code
    // The head is before the cursor; after the next commit it is past it.
    expect(await refused()).toBe('compacted')
    const revision = await write(engine, put('b', '1'))
    expect(revision).toBeGreaterThan(lost)
    expect(await refused()).toBe('compacted')
    expect(setbacks).toBe(1)
    expect(await engine.read('c', 'a')).toMatchObject({ value: '1' })
    expect(await engine.read('c', 'gone')).toBeNull()
    expect((await engine.changes(kept, 10)).changes.map(keyOf)).toEqual(['b'])
    expect((await engine.changes(engine.head(), 10)).changes).toEqual([])
    // Of another server that starts now too.
    const late = await openTestRedis([server], options)
    expect((await faultOf((async () => late.changes(cursor, 10))())).code).toBe('compacted')
    await late.close()
  } finally {
    await engine.close()
    await other.close()
  }
})

test('a reader between two pages is refused if what replaced a change that the first left out is lost', async () => {
  const options = { prefix: 'pages', lines: 1, onCommit() {} }
  const engine = await openTestRedis([server], options)
  const code = async (cursor: string) => (await faultOf((async () => engine.changes(cursor, 10))())).code
  try {
    await write(engine, put('a', '1'))
    await write(engine, put('b', '1'))
    const whole = (await engine.changes('0', 10)).next
    const early = (await engine.changes('0', 1)).next
    const goBack = await copyOf('pages')
    await write(engine, put('a', '2'))
    // The first page has b alone, since a has changed later. When that is lost, a is as before, where the reader has passed.
    const page = await engine.changes('0', 1)
    expect(page.changes.map(keyOf)).toEqual(['b'])
    const within = (await engine.changes('0', 10)).cursorAfter(0)
    await goBack()
    for (const cursor of [page.next, page.cursorAfter(0), within])
      expect(await code(cursor)).toBe('compacted')
    await write(engine, put('c', '1'))
    for (const cursor of [page.next, page.cursorAfter(0), within])
      expect(await code(cursor)).toBe('compacted')
    // Those who had seen nothing of what is lost go on.
    expect((await engine.changes(early, 10)).changes.map(keyOf)).toEqual(['b', 'c'])
    expect((await engine.changes(whole, 10)).changes.map(keyOf)).toEqual(['c'])
  } finally {
    await engine.close()
  }
})

test('many servers in turn leave so many gaps as fit, and none of them is served', async () => {
  const engine = await openTestRedis([server], { prefix: 'gaps', lines: 1, onCommit() {} })
  try {
    const { head } = lineKeys('gaps', 1)[0]!
    const lost: string[] = []
    for (let i = 0; i < 80; i++) {
      const revision = await write(engine, put('a', String(i)))
      lost.push(String(revision + 5))
      await server.command('HSET', head, 'owner', `${i}`.padStart(40, '0'))
    }
    await write(engine, put('a', '"last"'))
    expect(Number(await server.command('HSTRLEN', head, 'gaps'))).toBeLessThanOrEqual(1024)
    for (const cursor of lost) {
      expect((await faultOf((async () => engine.changes(cursor, 10))())).code).toBe('compacted')
    }
  } finally {
    await engine.close()
  }
})

test('a server that was started again is another one, and leaves a gap for what it may have lost', async () => {
  const engine = await openTestRedis([server], { prefix: 'restarted', lines: 1, onCommit() {} })
  const { head } = lineKeys('restarted', 1)[0]!
  const ownerOf = async () => String(await server.command('HGET', head, 'owner'))
  const runId = async () => /^run_id:(\w+)/m.exec(String(await server.command('INFO', 'server')))?.[1]
  try {
    const before = await write(engine, put('a', '1'))
    expect(await ownerOf()).toBe((await runId())!)
    expect(await server.command('HEXISTS', head, 'gaps')).toBe(0)
    await server.kill()
    await server.start()
    await write(engine, put('a', '2'))
    expect(await ownerOf()).toBe((await runId())!)
    expect(await server.command('HSTRLEN', head, 'gaps')).toBe(16)
    const inGap = async () => engine.changes(String(before + 1), 10)
    expect((await faultOf(inGap())).code).toBe('compacted')
  } finally {
    await engine.close()
  }
})
