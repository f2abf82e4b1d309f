import { describe, expect, test } from 'bun:test'
import { authenticatorOf } from '../../test/support/authenticator.ts'
import { openPort } from '../../test/support/memcached/open-port.ts'
import { textClient } from '../../test/support/memcached/text-client.ts'
import { ClientLimits } from '../auth/client-limits.ts'
import { parseRate } from '../core/rate.ts'

/** What memcached clients may send, by a clock that the tests set. */

let nowMs = 0

function limitedTo(rate: string | null): ClientLimits {
  nowMs = 0
  return new ClientLimits({ rate: rate === null ? null : parseRate(rate), monotonicMs: () => nowMs })
}

const limited = 'SERVER_ERROR rate limited\r\n'

describe('commands beyond the rate', () => {
  test('are refused in their order, do nothing, and leave the connection open', async () => {
    await using opened = await openPort({ limits: limitedTo('3/h') })
    const client = await opened.connect()
    const commands = [
      'set a 0 0 1\r\n1\r\n',
      'get a\r\n',
      'incr a 1\r\n',
      'set a 0 0 1\r\n9\r\n',
      'get a b\r\n',
    ]
    const said = `STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\n2\r\n${limited.repeat(2)}`
    expect(await client.ask(commands.join(''), limited.repeat(2))).toBe(said)
    nowMs = 1_200_000
    expect(await client.ask('get a\r\n', 'END\r\n')).toBe('VALUE a 0 1\r\n2\r\nEND\r\n')
    expect(await client.ask('get a\r\n', '\r\n')).toBe(limited)
    expect(opened.server.limitCounts.rateLimited).toBe(3)
    expect(opened.errors).toEqual([])
  })

  test('have no response where the client wants none; meta commands have theirs, as other errors', async () => {
    await using opened = await openPort({ limits: limitedTo('2/h') })
    const client = await opened.connect()
    const commands = [
      'set a 0 0 1 noreply\r\n1\r\n',
      'set b 0 0 1 noreply\r\n1\r\n',
      'set a 0 0 1 noreply\r\n2\r\n',
      'delete a noreply\r\n',
      'ms a 1 q\r\n3\r\n',
      'mg a v q\r\n',
    ]
    expect(await client.ask(commands.join(''), limited.repeat(2))).toBe(limited.repeat(2))
    expect((await opened.db.get('cache', 'a'))?.value.toString()).toBe('1')
  })

  test('a get of many keys is one; input that cannot be parsed still ends the connection; quit works', async () => {
    await using opened = await openPort({ limits: limitedTo('1/h') })
    const client = await opened.connect()
    expect(
      await client.ask(`get ${Array.from({ length: 50 }, (_, i) => `k${i}`).join(' ')}\r\n`, 'END\r\n'),
    ).toBe('END\r\n')
    client.send(`${'x'.repeat(5000)}\r\n`)
    expect(await client.rest()).toBe('CLIENT_ERROR line too long\r\n')
    const other = await opened.connect()
    expect(await other.ask('get a\r\n', '\r\n')).toBe(limited)
    other.send('quit\r\n')
    expect(await other.rest()).toBe('')
  })

  test('count for the address of the client, on all its connections', async () => {
    await using opened = await openPort({ limits: limitedTo('2/h') })
    const [one, two] = [await opened.connect(), await opened.connect()]
    expect(await one.ask('get a\r\n', '\r\n')).toBe('END\r\n')
    expect(await two.ask('get a\r\n', '\r\n')).toBe('END\r\n')
    expect(await one.ask('get a\r\n', '\r\n')).toBe(limited)
    expect(await two.ask('get a\r\n', '\r\n')).toBe(limited)
    const other = await textClient(opened.port, '127.0.0.2')
    expect(await other.ask('get a\r\n', '\r\n')).toBe('END\r\n')
    other.destroy()
  })

  test('count for the token once the client has logged in', async () => {
    await using opened = await openPort({
      limits: limitedTo('2/h'),
      authenticator: authenticatorOf('secret'),
    })
    const login = 'set auth 0 0 8\r\nu secret\r\n'
    const one = await opened.connect()
    expect(await one.ask(login, '\r\n')).toBe('STORED\r\n')
    expect(await one.ask('get a\r\n', '\r\n')).toBe('END\r\n')
    const two = await textClient(opened.port, '127.0.0.2')
    expect(await two.ask(login, '\r\n')).toBe('STORED\r\n')
    expect(await two.ask('get a\r\n', '\r\n')).toBe('END\r\n')
    expect(await two.ask('get a\r\n', '\r\n')).toBe(limited)
    expect(await one.ask('get a\r\n', '\r\n')).toBe(limited)
    two.destroy()
  })
})

test('wrong tokens get an error twenty times a minute, and are slowed down then; the right one is accepted', async () => {
  await using opened = await openPort({ limits: limitedTo(null), authenticator: authenticatorOf('secret') })
  const client = await opened.connect()
  const wrong = 'set auth 0 0 7\r\nu wrong\r\n'
  const failure = 'CLIENT_ERROR authentication failure\r\n'
  for (let i = 0; i < 20; i++) expect(await client.ask(wrong, '\r\n')).toBe(failure)
  for (let i = 0; i < 3; i++) expect(await client.ask(wrong, '\r\n')).toBe(limited)
  nowMs = 3000
  expect(await client.ask(wrong, '\r\n')).toBe(failure)
  expect(await client.ask(wrong, '\r\n')).toBe(limited)
  expect(await client.ask('set auth 0 0 8\r\nu secret\r\n', '\r\n')).toBe('STORED\r\n')
  expect(opened.server.limitCounts).toEqual({ rateLimited: 0, wrongTokens: 25, wrongTokensLimited: 4 })
  expect(opened.server.counts.auth_errors).toBe(25)
})
