import { Database as Sqlite } from 'bun:sqlite'
import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { newFolder, withEngine } from '../../test/support/engine.ts'
import { noonMs, put, write } from '../../test/support/engine-writes.ts'
import { openPort } from '../../test/support/memcached/open-port.ts'
import { type Database, openDatabase } from '../core/database.ts'
import type { Put } from '../core/engine.ts'
import { openSqlite } from '../engines/sqlite/engine.ts'
import type { MemcachedServer } from './listener.ts'

/** Commands for many keys, whose values are copied as bytes, compared with the same commands without visits. */

const members: readonly Put[] = [
  put('string', '"\\u00e9\\n"'),
  put('spaced', ' \n"text"'),
  { ...put('flags', '[1]'), flags: 7 },
  { ...put('stale', '[1]'), flags: 2 ** 32 + 5 },
  put('expires', '1', noonMs + 1000),
  put('gone', '1', noonMs - 1),
  put('bytes', new Uint8Array([0, 255, 10])),
  { ...put('text', Buffer.from('"é"\n')), contentType: 'text/plain' },
  put('large', `[${'1,'.repeat(10_000)}1]`),
  put('umlaut', '["é"]'),
  ...Array.from({ length: 200 }, (_, i) => put(`k${i}`, `{"n": ${i}, "text": "${'é'.repeat(4 * i)}"}`)),
].map((one) => ({ ...one, collection: 'cache' }))
const keys = members.flatMap(({ key }, i) => (i % 5 === 0 ? [key, `none${i}`] : [key]))

async function withPorts(
  damage: string | null,
  compare: (ask: (command: string) => Promise<[string, string]>, visits: () => number) => Promise<void>,
): Promise<void> {
  const dir = newFolder()
  await withEngine(dir, (engine) => write(engine, members))
  if (damage !== null) {
    using tables = new Sqlite(join(dir, 'kvist.db'), { readwrite: true })
    tables.run(`UPDATE members SET value = replace(value, ' 2', ' 3') WHERE key = '${damage}'`)
  }
  const now = () => noonMs
  const inner = await openDatabase({
    open: (onCommit) => openSqlite({ dir, durability: 'relaxed', onCommit, pages: 'on', warn() {} }),
    ...{ cacheBytes: 0, now, onError() {} },
  })
  let visits = 0
  const db: Database = {
    ...inner,
    visitMany(...given) {
      visits++
      return inner.visitMany(...given)
    },
  }
  try {
    await using visiting = await openPort({ db, now })
    await using reading = await openPort({ db: { ...inner, visitMany: () => null }, now })
    const clients = [await visiting.connect(), await reading.connect()] as const
    await compare(
      async (command) => {
        const [bytes, read] = clients.map((client) => client.ask(`${command}\r\nmn\r\n`, 'MN\r\n'))
        return [await bytes!, await read!]
      },
      () => visits,
    )
    // The store reports expired members to the port that listened last.
    const countsOf = ({ counts }: MemcachedServer) => ({ ...counts, get_expired: 0 })
    expect(countsOf(visiting.server)).toEqual(countsOf(reading.server))
  } finally {
    await inner.close()
  }
}

test('responses are the same byte for byte', async () => {
  await withPorts(null, async (ask, visits) => {
    for (const command of ['get', 'gets']) {
      for (const asked of [keys, keys.toReversed(), keys.slice(0, 16), [...keys, ...keys, ...keys]]) {
        const before = visits()
        const [bytes, read] = await ask(`${command} ${asked.join(' ')}`)
        expect(bytes).toBe(read)
        expect(bytes.slice(0, 200)).toContain('VALUE ')
        expect(visits() - before).toBe(1)
      }
    }
    const before = visits()
    for (const asked of [keys.slice(0, 15), Array.from({ length: 1001 }, () => 'k1')]) {
      const [bytes, read] = await ask(`get ${asked.join(' ')}`)
      expect(bytes).toBe(read)
    }
    expect(visits()).toBe(before)
  })
})

test('the values before a damaged one come, then the error', async () => {
  await withPorts('k20', async (ask) => {
    const [bytes, read] = await ask(`get ${Array.from({ length: 40 }, (_, i) => `k${i}`).join(' ')}`)
    expect(bytes).toBe(read)
    expect(bytes).toContain('VALUE k19 ')
    expect(bytes).toContain('SERVER_ERROR')
    expect(bytes).not.toContain('VALUE k20 ')
  })
})
