import { describe, expect, test } from 'bun:test'
import { connect } from 'node:net'
import { authenticatorOf } from '../../test/support/authenticator.ts'
import { type OpenPort, openPort } from '../../test/support/memcached/open-port.ts'
import { random, seedOfRun } from '../../test/support/random.ts'
import type { Database } from '../core/database.ts'
import { KvistError } from '../core/errors.ts'
import { readQueue } from '../core/read-queue.ts'
import { noSettings } from '../core/settings.ts'

/** The port as clients meet it: order, bounds, time-outs, logins, the end. What commands respond is in live.test.ts. */

const set = (key: string, value: string, rest = ''): string =>
  `set ${key} 0 0 ${value.length}${rest}\r\n${value}\r\n`

async function eventually(isSo: () => boolean, what: string): Promise<void> {
  for (let tries = 0; !isSo(); tries++) {
    if (tries === 1000) throw new Error(`waited in vain for ${what}`)
    await Bun.sleep(10)
  }
}

describe('a pipeline', () => {
  test('takes effect and gets its response in its order, in whatever pieces it comes', async () => {
    await using opened = await openPort()
    const seed = random(seedOfRun())
    const held = new Map<string, string>()
    let requests = ''
    let responses = ''
    for (let i = 0; i < 3000; i++) {
      const key = `k${seed.int(5)}`
      const before = held.get(key)
      const what = seed.int(6)
      if (what < 2) {
        const quiet = seed.oneIn(3)
        requests += set(key, `${i}`, quiet ? ' noreply' : '')
        responses += quiet ? '' : 'STORED\r\n'
        held.set(key, `${i}`)
      } else if (what === 2) {
        requests += `delete ${key}\r\n`
        responses += before === undefined ? 'NOT_FOUND\r\n' : 'DELETED\r\n'
        held.delete(key)
      } else if (what === 3) {
        requests += `incr ${key} 7\r\n`
        responses += before === undefined ? 'NOT_FOUND\r\n' : `${Number(before) + 7}\r\n`
        if (before !== undefined) held.set(key, `${Number(before) + 7}`)
      } else {
        requests += `get ${key}\r\n`
        responses +=
          before === undefined ? 'END\r\n' : `VALUE ${key} 0 ${before.length}\r\n${before}\r\nEND\r\n`
      }
    }
    const client = await opened.connect()
    for (let at = 0; at < requests.length; ) {
      const length = seed.oneIn(2) ? seed.int(40) : seed.int(5000)
      client.send(requests.slice(at, at + length))
      at += length
      if (seed.oneIn(10)) await Bun.sleep(1)
    }
    expect(await client.ask('mn\r\n', 'MN\r\n')).toBe(`${responses}MN\r\n`)
  })

  test('of sets from many clients goes to disk in a few groups', async () => {
    await using opened = await openPort()
    const clients = await Promise.all(Array.from({ length: 50 }, () => opened.connect()))
    const stats = opened.db.stats().engine
    const said = await Promise.all(
      clients.map((client, i) =>
        client.ask(
          `${Array.from({ length: 100 }, (_, n) => set(`k${i}-${n}`, 'v')).join('')}mn\r\n`,
          'MN\r\n',
        ),
      ),
    )
    expect(said).toEqual(clients.map(() => `${'STORED\r\n'.repeat(100)}MN\r\n`))
    expect(stats.writes).toBe(5000)
    expect(stats.syncSeconds.counts.reduce((sum, count) => sum + count, 0)).toBeLessThan(500)
  })

  test('of counts by a hundred clients loses none, and goes to disk in a few groups', async () => {
    await using opened = await openPort()
    const clients = await Promise.all(Array.from({ length: 100 }, () => opened.connect()))
    await clients[0]!.ask(set('n', '0'), 'STORED\r\n')
    const said = await Promise.all(
      clients.map((client) => client.ask(`${'incr n 1\r\n'.repeat(20)}mn\r\n`, 'MN\r\n')),
    )
    const numbers = said.flatMap((one) => one.match(/\d+/g)!).map(Number)
    expect(numbers.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 2000 }, (_, i) => i + 1))
    expect(opened.db.stats().engine.commits).toBeLessThan(500)
  })

  test('that ends with quit gets all responses', async () => {
    await using opened = await openPort()
    const client = await opened.connect()
    client.send(`${set('a', '1')}get a\r\nquit\r\n${set('b', '2')}`)
    expect(await client.rest()).toBe('STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\n')
    expect(await opened.db.get('cache', 'b')).toBeNull()
  })

  test('of a client that has half-closed gets all responses', async () => {
    await using opened = await openPort()
    const client = await opened.connect()
    client.send(`${set('a', '1')}get a\r\nincr a 1\r\nset half 0 0 5\r\nab`)
    client.endInput()
    expect(await client.rest()).toBe('STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\n2\r\n')
    await eventually(() => opened.server.connections.open === 0, 'the end')
  })
})

describe('what cannot be done', () => {
  test('a value that is too large is passed over, and what it was to replace is gone', async () => {
    await using opened = await openPort()
    const client = await opened.connect()
    await client.ask(set('k', 'old'), '\r\n')
    const large = 'x'.repeat(2_000_000)
    expect(await client.ask(`${set('k', large)}get k\r\n`, 'END\r\n')).toBe(
      'SERVER_ERROR object too large for cache\r\nEND\r\n',
    )
  })

  test('a line that never ends ends the connection, with a word', async () => {
    await using opened = await openPort()
    const client = await opened.connect()
    client.send(`${set('a', '1')}delete ${'k'.repeat(5000)}`)
    expect(await client.rest()).toBe('STORED\r\nCLIENT_ERROR line too long\r\n')
  })

  test.each([
    ['a form', 'POST / HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n\r\n'],
    ['a long address', `PUT /${'a'.repeat(3000)} HTTP/1.1\r\nHost: x\r\n\r\n`],
    ['an address of commands', 'GET /%0d%0aset%20k%200%200%201%0d%0av HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['a question before the request', 'OPTIONS /x HTTP/1.1\r\nOrigin: http://evil.example\r\n\r\n'],
  ])(
    'an HTTP request, as web pages can make a browser send it, gives no commands: %s',
    async (_what, head) => {
      await using opened = await openPort()
      const client = await opened.connect()
      client.send(head + set('k', 'v'))
      expect(await client.rest()).not.toContain('STORED')
      expect(await opened.db.get('cache', 'k')).toBeNull()
    },
  )

  test('nor is one of any other method, wherever it comes and whether a login is needed', async () => {
    for (const token of [null, 'secret']) {
      await using opened = await openPort({ authenticator: authenticatorOf(token) })
      for (const first of [
        'GET / HTTP/1.1',
        'set /k HTTP/1.1',
        'get /k HTTP/1.1',
        'OPTIONS * HTTP/1.0',
        'X /a b HTTP/2',
      ]) {
        const client = await opened.connect()
        const said = client.rest()
        client.send(`${first}\r\nHost: x\r\n\r\n${set('any', 'me secret')}${set('k', 'v')}`)
        expect([first, await said]).toEqual([first, ''])
      }
      expect(await opened.db.get('cache', 'k')).toBeNull()
    }
  })

  test('a client of the binary protocol is disconnected at once, and reported once in a minute', async () => {
    await using opened = await openPort()
    for (let i = 0; i < 3; i++) {
      const client = await opened.connect()
      client.send(Buffer.concat([Buffer.of(0x80, 0x0b), Buffer.alloc(22), Buffer.from(set('k', 'v'))]))
      expect(await client.rest()).toBe('')
    }
    expect(opened.foreignClients).toEqual(['127.0.0.1 the binary protocol'])
    expect(await opened.db.get('cache', 'k')).toBeNull()
    const client = await opened.connect()
    // Within a conversation the byte is one of a key or a value.
    expect(await client.ask(Buffer.from('mn\r\n\x80\r\n', 'latin1'), 'ERROR\r\n')).toBe('MN\r\nERROR\r\n')
    expect(await client.ask('get /k HTTP/1.1\r\n', 'END\r\n')).toBe('END\r\n')
  })

  test('a failure of the store is an error line of the protocol, and reported', async () => {
    await using opened = await openPort()
    const full = new KvistError('storage_full', 'the disk is full')
    const fails = () => Promise.reject(full)
    await using failing = await openPort({ db: { ...opened.db, write: fails, update: fails } })
    const client = await failing.connect()
    const line = 'SERVER_ERROR out of memory storing object\r\n'
    expect(
      await client.ask(`${set('a', '1')}${set('b', '1', ' noreply')}add c 0 0 1\r\n1\r\nmn\r\n`, 'MN\r\n'),
    ).toBe(`${line}${line}MN\r\n`)
    expect(await client.ask('ms d 1 q\r\n1\r\nincr a 1\r\nincr a 1 noreply\r\nget a\r\n', 'END\r\n')).toBe(
      `${line}${line}END\r\n`,
    )
    expect(failing.errors).toEqual([full, full, full, full, full, full])
  })

  test('a read that fails in the middle ends with the line, and the connection goes on', async () => {
    await using opened = await openPort()
    const db: Database = {
      ...opened.db,
      get(collection, key) {
        if (key === 'bad') throw new Error('secret')
        return opened.db.get(collection, key)
      },
      readMany(refs, maxBytes) {
        if (refs.some(({ key }) => key === 'bad')) throw new Error('secret')
        return opened.db.readMany(refs, maxBytes)
      },
      readQueue: (schedule) =>
        readQueue({ cached: () => undefined, readMany: db.readMany, readUncached: db.readMany }, schedule),
    }
    await using failing = await openPort({ db })
    const client = await failing.connect()
    await client.ask(set('a', '1'), '\r\n')
    expect(await client.ask('get a bad a\r\nmn\r\n', 'MN\r\n')).toBe(
      'VALUE a 0 1\r\n1\r\nSERVER_ERROR internal error\r\nMN\r\n',
    )
  })
})

describe("a store whose results come late, as a cluster's do", () => {
  test('is asked for many keys at once, and responds in order', async () => {
    await using opened = await openPort()
    const asked: number[] = []
    const db: Database = {
      ...opened.db,
      async readMany(refs, maxBytes) {
        asked.push(refs.length)
        await Bun.sleep(refs.length % 3)
        return opened.db.readMany(refs, maxBytes)
      },
      readQueue: (schedule) =>
        readQueue({ cached: () => undefined, readMany: db.readMany, readUncached: db.readMany }, schedule),
    }
    await using later = await openPort({ db })
    const client = await later.connect()
    const keys = Array.from({ length: 600 }, (_, i) => 'k'.repeat(1 + (i % 3)) + i)
    await client.ask(`${keys.map((key) => set(key, key)).join('')}mn\r\n`, 'MN\r\n')
    const values = keys.map((key) => `VALUE ${key} 0 ${key.length}\r\n${key}\r\n`).join('')
    expect(await client.ask(`get ${keys.join(' ')}\r\nmg k0 v\r\nme nope\r\n`, 'EN\r\n')).toBe(
      `${values}END\r\nVA 2\r\nk0\r\nEN\r\n`,
    )
    expect(asked).toEqual([256, 256, 88, 1])
  })
})

describe('bounds', () => {
  /** A client that asks for 40 MB and reads none of it. */
  async function deafClient(opened: OpenPort) {
    const client = await opened.connect()
    await client.ask(set('large', 'x'.repeat(100_000)), '\r\n')
    client.pause()
    client.send(`get ${'large '.repeat(400)}\r\nmn\r\n`)
    return client
  }

  test('a client that does not read holds little, and gets all of it when it does', async () => {
    await using opened = await openPort()
    const deaf = await deafClient(opened)
    await eventually(() => opened.server.heldBytes() > 256 * 1024, 'responses that wait')
    await Bun.sleep(100)
    expect(opened.server.heldBytes()).toBeLessThan(1024 * 1024)
    const other = await opened.connect()
    expect(await other.ask('get nope\r\n', 'END\r\n')).toBe('END\r\n')
    deaf.resume()
    const said = await deaf.until('MN\r\n')
    expect(said.length).toBe(400 * (100_000 + 'VALUE large 0 100000\r\n\r\n'.length) + 'END\r\nMN\r\n'.length)
    expect(opened.server.heldBytes()).toBe(0)
  })

  test('a client that asks and never reads is read no further', async () => {
    await using opened = await openPort()
    const deaf = await deafClient(opened)
    const much = Buffer.alloc(1024 * 1024, 'get large\r\n')
    for (let i = 0; i < 32; i++) deaf.send(much)
    await Bun.sleep(300)
    expect(opened.server.counts.bytes_read).toBeLessThan(4 * 1024 * 1024)
    expect(opened.server.heldBytes()).toBeLessThan(2 * 1024 * 1024)
  })

  test('when clients hold too much together, large values are refused and small requests go on', async () => {
    await using opened = await openPort({ maxHeldBytes: 1_000_000 })
    const client = await opened.connect()
    const value = 'x'.repeat(400_000)
    await client.ask(set('large', value), 'STORED\r\n')
    const stuck = await Promise.all(Array.from({ length: 4 }, () => opened.connect()))
    const most = `set half 0 0 330000\r\n${'x'.repeat(320_000)}`
    const readBytes = opened.server.counts.bytes_read + 3 * most.length
    for (const one of stuck.slice(1)) one.send(most)
    await eventually(() => opened.server.counts.bytes_read === readBytes, 'three that are nearly too much')
    // Of those who are sending when it becomes too much some are refused: so the rest comes at once.
    stuck[0]!.send(`set half 0 0 330000\r\n${'x'.repeat(10_000)}`)
    await eventually(() => opened.server.heldBytes() > 1_000_000, 'held bytes')
    const request = set('large', value)
    client.send(request.slice(0, 200_000))
    await Bun.sleep(100)
    expect(await client.ask(`${request.slice(200_000)}get large\r\n`, 'END\r\n')).toBe(
      'SERVER_ERROR out of memory storing object\r\nEND\r\n',
    )
    expect(await client.ask(`${set('small', '1')}get small\r\n`, 'END\r\n')).toContain(
      'STORED\r\nVALUE small',
    )
    for (const one of stuck) one.destroy()
    await eventually(() => opened.server.heldBytes() === 0, 'nothing held')
    expect(await client.ask(`${set('large', value)}get large\r\n`, 'END\r\n')).toContain(value)
  })

  test('when clients hold too much together, large responses are refused', async () => {
    await using opened = await openPort({ maxHeldBytes: 1_000_000 })
    const client = await opened.connect()
    await client.ask(set('large', 'x'.repeat(400_000)), 'STORED\r\n')
    const deaf = await Promise.all(Array.from({ length: 4 }, () => opened.connect()))
    for (const one of deaf) {
      one.pause()
      one.send('get large\r\n'.repeat(100))
    }
    await eventually(() => opened.server.heldBytes() > 1_000_000, 'held bytes')
    expect(await client.ask('get large\r\nmn\r\n', 'MN\r\n')).toBe(
      'SERVER_ERROR out of memory writing get response\r\nMN\r\n',
    )
  })

  test('a client too many takes the place of the one that was silent for longest', async () => {
    await using opened = await openPort({ maxConnections: 2 })
    const first = await opened.connect()
    const second = await opened.connect()
    await first.ask('mn\r\n', 'MN\r\n')
    // The second has asked for nothing yet: it goes first.
    const third = await opened.connect()
    expect(await second.rest()).toBe('')
    for (const one of [first, third]) expect(await one.ask('mn\r\n', 'MN\r\n')).toBe('MN\r\n')
    const { open, evicted, rejected } = opened.server.connections
    expect({ open, evicted, rejected }).toEqual({ open: 2, evicted: 1, rejected: 0 })
  })

  test('a client too many gets an error while all others are in the middle of a command', async () => {
    await using opened = await openPort({ maxConnections: 2 })
    const busy = await Promise.all([opened.connect(), opened.connect()])
    for (const one of busy) {
      await one.ask('mn\r\n', 'MN\r\n')
      one.send('set k 0 0 5\r\nab')
    }
    await eventually(() => opened.server.counts.bytes_read === 38, 'two halves')
    expect(await (await opened.connect()).rest()).toBe('ERROR Too many open connections\r\n')
    busy[0]!.destroy()
    await eventually(() => opened.server.connections.open === 1, 'a place')
    expect(await (await opened.connect()).ask('mn\r\n', 'MN\r\n')).toBe('MN\r\n')
    expect(opened.server.counts.rejected_connections).toBe(1)
    expect(busy[1]!.isClosed()).toBe(false)
  })

  test('a client that goes on sending after the end reads what was said before it, and no reset', async () => {
    await using opened = await openPort()
    const socket = connect({ port: Number(opened.server.address.split(':').pop()), allowHalfOpen: true })
    let said = ''
    const closed = new Promise<string>((resolve) => {
      socket.on('data', (part: Buffer) => {
        said += part
      })
      socket.on('error', ({ message }) => resolve(message))
      socket.on('close', () => resolve('in order'))
    })
    socket.write('mn\r\nquit\r\n')
    await eventually(() => said !== '', 'a response')
    for (let i = 0; i < 50; i++) {
      socket.write('x'.repeat(100_000))
      await Bun.sleep(1)
    }
    socket.end()
    expect([await closed, said]).toEqual(['in order', 'MN\r\n'])
  })
})

describe('time-outs', () => {
  test('a client between commands may be silent as long as the option says', async () => {
    await using opened = await openPort({ idleTimeoutSeconds: 1, stallTimeoutSeconds: 60 })
    const silent = await opened.connect()
    const talking = await opened.connect()
    const half = await opened.connect()
    half.send('get k')
    const rest = silent.rest()
    for (let i = 0; i < 30; i++) {
      expect(await talking.ask('mn\r\n', 'MN\r\n')).toBe('MN\r\n')
      await Bun.sleep(100)
    }
    expect(await rest).toBe('')
    expect([silent.isClosed(), half.isClosed()]).toEqual([true, false])
    expect(opened.server.counts.idle_kicks).toBe(1)
  })

  test('without it for ever, but not in the middle of a command, nor with unread responses', async () => {
    await using opened = await openPort({ idleTimeoutSeconds: 0, stallTimeoutSeconds: 1 })
    const silent = await opened.connect()
    await silent.ask(set('k', 'x'.repeat(500_000)), '\r\n')
    const half = await opened.connect()
    half.send('set k 0 0 10\r\nabc')
    const deaf = await opened.connect()
    deaf.pause()
    deaf.send('get k\r\n'.repeat(100))
    expect(await half.rest()).toBe('')
    await eventually(() => opened.server.connections.open === 1, 'the deaf one to be cut')
    expect(await silent.ask('mn\r\n', 'MN\r\n')).toBe('MN\r\n')
    expect(opened.server.counts.idle_kicks).toBe(2)
  })
})

describe('with a token', () => {
  const login = (token: string): string => set('any', `me ${token}`)

  test('nothing is done before the login', async () => {
    await using opened = await openPort({ authenticator: authenticatorOf('secret') })
    const client = await opened.connect()
    const tries = `get k\r\nflush_all\r\nadd k 0 0 4\r\nme x\r\n${set('k', 'secret')}${login('Secret')}bad\r\n`
    expect(await client.ask(tries, 'ERROR\r\n')).toBe(
      `${'CLIENT_ERROR unauthenticated\r\n'.repeat(3)}${'CLIENT_ERROR authentication failure\r\n'.repeat(2)}ERROR\r\n`,
    )
    expect(await client.ask(`${login('secret')}${set('k', 'v')}get any k\r\n`, 'END\r\n')).toBe(
      'STORED\r\nSTORED\r\nVALUE k 0 1\r\nv\r\nEND\r\n',
    )
    const { auth_cmds, auth_errors } = opened.server.counts
    expect({ auth_cmds, auth_errors }).toEqual({ auth_cmds: 3, auth_errors: 2 })
  })

  test('nobody sends much before the login, nor takes long over it', async () => {
    await using opened = await openPort({ authenticator: authenticatorOf('secret'), stallTimeoutSeconds: 1 })
    const large = await opened.connect()
    large.send(set('k', 'x'.repeat(500_000)))
    expect(await large.rest()).toBe('')
    const silent = await opened.connect()
    expect(await silent.rest()).toBe('')
  })
})

describe('flush_all', () => {
  test('takes what was written before it, and what is written after it stays', async () => {
    await using opened = await openPort()
    await opened.db.put('other', 'k', {
      value: '1',
      contentType: 'application/json',
      flags: 0,
      expiresAtMs: null,
    })
    const client = await opened.connect()
    const many = Array.from({ length: 3000 }, (_, i) => set(`k${i}`, 'v', ' noreply')).join('')
    expect(
      await client.ask(`${many}flush_all\r\n${set('after', '1')}get k0 k2999 after\r\n`, 'END\r\n'),
    ).toBe('OK\r\nSTORED\r\nVALUE after 0 1\r\n1\r\nEND\r\n')
    expect(await opened.db.get('other', 'k')).not.toBeNull()
  })

  test('with a delay comes later, and is taken back by the next one', async () => {
    await using opened = await openPort()
    const client = await opened.connect()
    expect(await client.ask(`flush_all 1\r\n${set('k', '1')}get k\r\n`, 'END\r\n')).toContain('VALUE')
    await eventually(() => opened.db.get('cache', 'k') === null, 'the flush')
    expect(await client.ask(`${set('k', '2')}flush_all 1\r\nflush_all 1000\r\n`, 'OK\r\nOK\r\n')).toBe(
      'STORED\r\nOK\r\nOK\r\n',
    )
    await Bun.sleep(1200)
    expect(await client.ask('get k\r\n', 'END\r\n')).toContain('VALUE')
    expect(opened.server.counts.cmd_flush).toBe(3)
  })
})

describe('a collection with processes', () => {
  test('each set stands and falls by itself, in order', async () => {
    await using opened = await openPort()
    const settings = { ...noSettings, processes: ['picky'] }
    const order: string[] = []
    await using picky = await openPort({
      db: {
        ...opened.db,
        settings: () => settings,
        async write(writes, durability) {
          expect(writes).toHaveLength(1)
          const [one] = writes
          await Bun.sleep(one!.key === 'slow' ? 20 : 0)
          order.push(one!.key)
          if (one!.key === 'bad') throw new KvistError('unprocessable', 'picky does not like it')
          return opened.db.write(writes, durability)
        },
      },
    })
    const client = await picky.connect()
    expect(
      await client.ask(`${['a', 'slow', 'bad', 'b'].map((key) => set(key, '1')).join('')}mn\r\n`, 'MN\r\n'),
    ).toBe('STORED\r\nSTORED\r\nCLIENT_ERROR bad request\r\nSTORED\r\nMN\r\n')
    expect(order).toEqual(['a', 'slow', 'bad', 'b'])
  })
})

describe('the end', () => {
  test('received commands are done and get their responses, incomplete ones are not, and clients see the end', async () => {
    const opened = await openPort()
    const busy = await opened.connect()
    const half = await opened.connect()
    const idle = await opened.connect()
    half.send('set half 0 0 5\r\nab')
    await half.ask('', '').catch(() => '')
    busy.send(
      `${Array.from({ length: 500 }, (_, i) => `${set(`k${i}`, 'v')}incr n 1\r\n`).join('')}get k499\r\n`,
    )
    await eventually(() => opened.server.counts.cmd_set > 0, 'the beginning')
    const stopped = opened.server.stop(10_000)
    const [said] = await Promise.all([busy.rest(), half.rest(), idle.rest(), stopped])
    expect(said).toBe(`${'STORED\r\nNOT_FOUND\r\n'.repeat(500)}VALUE k499 0 1\r\nv\r\nEND\r\n`)
    expect(opened.server.connections.open).toBe(0)
    await opened[Symbol.asyncDispose]()
  })

  test('a client that reads nothing holds the end up no longer than it may', async () => {
    const opened = await openPort()
    const deaf = await opened.connect()
    await deaf.ask(set('k', 'x'.repeat(500_000)), '\r\n')
    deaf.pause()
    deaf.send('get k\r\n'.repeat(100))
    await eventually(() => opened.server.heldBytes() > 0, 'responses that wait')
    const startedAtMs = performance.now()
    await opened.server.stop(300)
    expect(performance.now() - startedAtMs).toBeLessThan(30_000)
    await opened[Symbol.asyncDispose]()
  })

  test('a port that is taken is refused with one line', async () => {
    await using opened = await openPort()
    expect(openPort({ port: opened.port })).rejects.toThrow(
      `cannot listen for memcached clients on 127.0.0.1, port ${opened.port}`,
    )
  })
})

test('look-ups of what has expired and was not swept yet are counted as such', async () => {
  await using opened = await openPort()
  const client = await opened.connect()
  const { counts } = opened.server
  await opened.db.put('cache', 'live', json('1'))
  await client.ask('get live missing\r\n', 'END\r\n')
  expect([counts.get_misses, counts.get_expired]).toEqual([1, 0])
  // A sweep may come in between, but not every time.
  for (let rounds = 1; counts.get_expired === 0; rounds++) {
    if (rounds > 20) throw new Error('no expired member was counted in 20 rounds')
    await opened.db.put('cache', 'brief', json('2', Date.now() - 1))
    await client.ask('get brief\r\n', 'END\r\n')
  }
  expect(counts.get_misses).toBeGreaterThan(1)
  expect(await client.ask('stats\r\n', 'END\r\n')).toContain(`STAT get_expired ${counts.get_expired}\r\n`)
})

function json(value: string, expiresAtMs: number | null = null) {
  return { value, contentType: 'application/json', flags: 0, expiresAtMs }
}
