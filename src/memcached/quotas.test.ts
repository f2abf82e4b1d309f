import { describe, expect, test } from 'bun:test'
import { openPort } from '../../test/support/memcached/open-port.ts'
import { noSettings } from '../core/settings.ts'

/** Quotas as memcached clients meet them. */

const set = (key: string, value: string): string => `set ${key} 0 0 ${value.length}\r\n${value}\r\n`

describe('a collection with quotas', () => {
  const full = 'SERVER_ERROR out of memory storing object\r\n'

  test('refuses what has no room, whichever command it is, and leaves what was there', async () => {
    await using opened = await openPort()
    await opened.db.setSettings('cache', { ...noSettings, maxMembers: 1, maxValueBytes: 6 })
    const client = await opened.connect()
    const long = 'SERVER_ERROR object too large for cache\r\n'
    const exchanges: [command: string, reply: string][] = [
      [set('a', '99'), 'STORED\r\n'],
      [set('b', '1'), full],
      ['add b 0 0 1\r\n1\r\n', full],
      ['ms b 1\r\n1\r\n', full],
      ['ma b N0 J1\r\n', full],
      [set('a', '1234567'), long],
      ['replace a 0 0 7\r\n1234567\r\n', long],
      ['append a 0 0 6\r\nxxxxxx\r\n', long],
      ['ms a 7\r\n1234567\r\n', long],
      ['get a b\r\n', 'VALUE a 0 2\r\n99\r\nEND\r\n'],
      ['append a 0 0 4\r\n9999\r\n', 'STORED\r\n'],
      ['incr a 1\r\n', long],
      ['decr a 999990\r\n', '9\r\n'],
      ['touch a 100\r\n', 'TOUCHED\r\n'],
      ['get a b\r\n', 'VALUE a 0 1\r\n9\r\nEND\r\n'],
      ['delete a\r\n', 'DELETED\r\n'],
      [set('b', '1'), 'STORED\r\n'],
      ['set c 0 0 1 noreply\r\n1\r\nget b c\r\n', 'VALUE b 0 1\r\n1\r\nEND\r\n'],
    ]
    for (const [command, reply] of exchanges) {
      const end = reply.endsWith('END\r\n') ? 'END\r\n' : '\r\n'
      expect([command, await client.ask(command, end)]).toEqual([command, reply])
    }
    expect(opened.errors).toEqual([])
  })

  test('of a pipeline stores what there is room for, in its order, and beside other clients', async () => {
    await using opened = await openPort()
    await opened.db.setSettings('cache', { ...noSettings, maxMembers: 50 })
    const clients = await Promise.all(Array.from({ length: 4 }, () => opened.connect()))
    const replies = await Promise.all(
      clients.map((client, c) =>
        client.ask(`${Array.from({ length: 30 }, (_, i) => set(`${c}-${i}`, '1')).join('')}mn\r\n`, 'MN\r\n'),
      ),
    )
    const lines = replies.flatMap((reply) => reply.split('\r\n').slice(0, -2))
    expect(lines.filter((line) => line === 'STORED')).toHaveLength(50)
    expect(lines.filter((line) => `${line}\r\n` === full)).toHaveLength(70)
    expect(await opened.db.collections()).toMatchObject([{ name: 'cache', members: 50 }])
  })

  test('that gets them while sets are under way refuses each of these by itself', async () => {
    await using opened = await openPort()
    const limited = { ...opened.db, settings: () => noSettings }
    await using unaware = await openPort({ db: limited })
    await opened.db.setSettings('cache', { ...noSettings, maxMembers: 2 })
    const client = await unaware.connect()
    const sets = ['a', 'b', 'c', 'a'].map((key, i) => set(key, `${i}`)).join('')
    expect(await client.ask(`${sets}mn\r\n`, 'MN\r\n')).toBe(`STORED\r\nSTORED\r\n${full}STORED\r\nMN\r\n`)
    expect(await client.ask('get a b c\r\n', 'END\r\n')).toContain('VALUE a 0 1\r\n3')
  })
})
