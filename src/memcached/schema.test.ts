import { expect, test } from 'bun:test'
import { openPort } from '../../test/support/memcached/open-port.ts'
import { parseIndexes } from '../core/indexes/definition.ts'
import { noSettings } from '../core/settings.ts'

/** The schema and the unique indexes of a collection as memcached clients meet them. */

const set = (key: string, value: string): string => `set ${key} 0 0 ${value.length}\r\n${value}\r\n`

test('a value that breaks the schema is refused, whichever command it is, and leaves what was there', async () => {
  await using opened = await openPort()
  await opened.db.setSettings('cache', { ...noSettings, schema: '{"type":"number","maximum":99}' })
  const client = await opened.connect()
  const refused = 'CLIENT_ERROR the value breaks the schema of the collection\r\n'
  const exchanges: [command: string, reply: string][] = [
    [set('a', '98'), 'STORED\r\n'],
    [set('a', '100'), refused],
    [set('b', 'text'), refused],
    ['add b 0 0 3\r\n100\r\n', refused],
    ['replace a 0 0 3\r\n100\r\n', refused],
    ['append a 0 0 1\r\n0\r\n', refused],
    ['ms b 3\r\n100\r\n', refused],
    ['incr a 1\r\n', '99\r\n'],
    ['incr a 1\r\n', refused],
    ['ma a\r\n', refused],
    ['touch a 100\r\n', 'TOUCHED\r\n'],
    // Of a pipeline each by itself.
    [`${set('c', '1')}${set('d', '100')}${set('e', '2')}mn\r\n`, `STORED\r\n${refused}STORED\r\nMN\r\n`],
    [
      'set f 0 0 3 noreply\r\n100\r\nget a b c d e f\r\n',
      'VALUE a 0 2\r\n99\r\nVALUE c 0 1\r\n1\r\nVALUE e 0 1\r\n2\r\nEND\r\n',
    ],
  ]
  for (const [command, reply] of exchanges) {
    const end = reply.endsWith('END\r\n') ? 'END\r\n' : reply.endsWith('MN\r\n') ? 'MN\r\n' : '\r\n'
    expect([command, await client.ask(command, end)]).toEqual([command, reply])
  }
  expect(opened.errors).toEqual([])
})

test('a value that another member has for itself is refused, whichever command it is, and leaves what was there', async () => {
  await using opened = await openPort()
  const indexes = parseIndexes([{ name: 'one_mail', on: ['@.mail'], unique: true }])
  await opened.db.setSettings('cache', { ...noSettings, indexes })
  const client = await opened.connect()
  const [mail, other] = ['{"mail":"a"}', '{"mail":"b"}']
  const refused = 'SERVER_ERROR not unique\r\n'
  const exchanges: [command: string, reply: string][] = [
    [set('a', mail), 'STORED\r\n'],
    [set('a', mail), 'STORED\r\n'],
    [set('b', mail), refused],
    [`add b 0 0 12\r\n${mail}\r\n`, refused],
    [set('b', other), 'STORED\r\n'],
    [`replace b 0 0 12\r\n${mail}\r\n`, refused],
    [`ms b 12\r\n${mail}\r\n`, refused],
    // Of a pipeline each by itself.
    [`${set('c', '1')}${set('d', mail)}${set('e', '2')}mn\r\n`, `STORED\r\n${refused}STORED\r\nMN\r\n`],
    ['delete a\r\n', 'DELETED\r\n'],
    [set('d', mail), 'STORED\r\n'],
    ['get a b\r\n', `VALUE b 0 12\r\n${other}\r\nEND\r\n`],
  ]
  for (const [command, reply] of exchanges) {
    const end = reply.endsWith('END\r\n') ? 'END\r\n' : reply.endsWith('MN\r\n') ? 'MN\r\n' : '\r\n'
    expect([command, await client.ask(command, end)]).toEqual([command, reply])
  }
  expect(opened.errors).toEqual([])
})
