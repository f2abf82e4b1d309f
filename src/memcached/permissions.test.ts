import { describe, expect, test } from 'bun:test'
import { type OpenPort, openPort } from '../../test/support/memcached/open-port.ts'
import type { TextClient } from '../../test/support/memcached/text-client.ts'
import { authenticator } from '../auth/authenticate.ts'
import { type Tokens, tokenRegistry, tokensOf } from '../auth/tokens.ts'
import type { Database } from '../core/database.ts'
import { parseGrants } from '../core/grants.ts'
import { everything } from '../core/list.ts'
import type { MemcachedOptions } from './listener.ts'

/** What a token may do at the memcached port, and when it may not any more. */

interface Guarded extends AsyncDisposable {
  readonly opened: OpenPort
  readonly tokens: Tokens
  /** A client that has logged in with a new token. */
  loggedIn(...grants: unknown[]): Promise<Visitor>
}

interface Visitor {
  readonly id: string
  readonly text: string
  readonly client: TextClient
}

const nowMs = Date.parse('2026-03-01T00:00:00Z')

async function guardedPort(options: Partial<MemcachedOptions> = {}): Promise<Guarded> {
  const registry = tokenRegistry((error) => {
    throw error
  })
  const opened = await openPort({
    authenticator: authenticator({ token: 'root', tokens: registry, onUse() {} }),
    followers: registry.followers,
    now: () => nowMs,
    ...options,
  })
  const tokens = tokensOf(registry, opened.db)
  return {
    opened,
    tokens,
    async loggedIn(...grants) {
      const created = await tokens.create({ ...anyToken, grants: parseGrants(grants) }, nowMs)
      const text = created.text!
      const client = await opened.connect()
      expect(await client.ask(login(text), '\r\n')).toBe('STORED\r\n')
      return { id: created.token.id, text, client }
    },
    [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
  }
}

const anyToken = { name: 'app', subject: null, rate: null, expiresAtMs: null }

function login(token: string): string {
  return set('any', `me ${token}`)
}

function set(key: string, value: string, rest = ''): string {
  return `set ${key} 0 0 ${value.length}${rest}\r\n${value}\r\n`
}

/** Returns the response to a request, without the MN that marks their end. */
async function responseTo(client: TextClient, request: string): Promise<string> {
  const all = await client.ask(`${request}mn\r\n`, 'MN\r\n')
  return all.slice(0, -'MN\r\n'.length)
}

const refusal = 'CLIENT_ERROR not permitted\r\n'

/** Everything in the collection, with expiries. */
async function stateOf(db: Database): Promise<string> {
  const query = { ...everything, order: 'asc', limit: 1000, cursor: null, keysOnly: false } as const
  const { members } = await db.page('cache', query)
  return JSON.stringify(members.map(({ key, revision, expiresAtMs }) => [key, revision, expiresAtMs]))
}

type Needs = 'read' | 'write' | 'read write' | 'read all' | 'admin all' | ''

/** What each command needs; K is its key, and what is not there is N. */
const commands: Record<string, Needs> = {
  'get K': 'read',
  'gets K': 'read',
  'get N': 'read',
  'gat 0 K': 'read write',
  'gats 100 K': 'read write',
  'set K 0 0 1\r\n2': 'write',
  'set N 0 0 1\r\n2': 'write',
  'add N 0 0 1\r\n2': 'write',
  'add K 0 0 1\r\n2': 'write',
  'replace K 0 0 1\r\n2': 'write',
  'append K 0 0 1\r\n2': 'write',
  'prepend K 0 0 1\r\n2': 'write',
  'cas K 0 0 1 1\r\n2': 'write',
  'incr K 1': 'read write',
  'decr K 0': 'read write',
  'touch K 100': 'write',
  'delete K': 'write',
  'mg K v': 'read',
  'mg K': 'read',
  'mg K k v q': 'read',
  'mg K v T100': 'read write',
  'mg N v N100': 'read write',
  'mg K v R100': 'read write',
  'ms K 1\r\n2': 'write',
  'ms K 1 MA\r\n2': 'write',
  'ms K 1 I C1\r\n2': 'write',
  'md K': 'write',
  'md K I T30': 'write',
  'md K x': 'write',
  'ma K': 'read write',
  'ma K v D0': 'read write',
  'ma N N0 J5': 'read write',
  'me K': 'read',
  [`set K 0 0 2000\r\n${'x'.repeat(2000)}`]: 'write',
  [`ms K 2000\r\n${'x'.repeat(2000)}`]: 'write',
  [`add K 0 0 2000\r\n${'x'.repeat(2000)}`]: '',
  flush_all: 'admin all',
  'flush_all 100': 'admin all',
  stats: 'read all',
  'stats settings': 'read all',
  'stats reset': 'admin all',
  'verbosity 1': '',
  version: '',
  mn: '',
  nonsense: '',
}

/** Which needs a grant of these on this prefix meets, for a key within it. */
function meets(can: readonly string[], prefix: string, needs: Needs): boolean {
  const isForAll = needs.endsWith(' all')
  const names = needs.split(' ').filter((name) => name !== 'all' && name !== '')
  return names.every((name) => can.includes(name)) && (!isForAll || prefix === '')
}

const grantSets: readonly (readonly string[])[] = [
  ['read'],
  ['write'],
  ['read', 'write'],
  ['read', 'write', 'admin'],
]

const grantsOfPrefixes = grantSets.flatMap((can) => ['', 't1/'].map((prefix) => ({ can, prefix })))
const content = { value: '1', contentType: 'application/json', flags: 0, expiresAtMs: null }

test.each(grantsOfPrefixes)(
  'a grant of $can on the prefix "$prefix" is for what each command needs',
  async ({ can, prefix }) => {
    await using port = await guardedPort({ maxValueBytes: 1000 })
    const { client } = await port.loggedIn({ collections: 'cache', key_prefix: prefix, can })
    const { db } = port.opened
    const wrong: unknown[] = []
    for (const [command, needs] of Object.entries(commands)) {
      for (const from of ['t1/', 't2/']) {
        await db.put('cache', `${from}k`, { ...content, expiresAtMs: nowMs + 1000 })
        await db.delete('cache', `${from}none`)
        const before = await stateOf(db)
        const line = command.replace(/\bK\b/, `${from}k`).replace(/\bN\b/, `${from}none`)
        const said = await responseTo(client, `${line}\r\n`)
        const isWithin = needs === '' || !/ [KN]\b/.test(command) || from.startsWith(prefix)
        const isAllowed = isWithin && meets(can, prefix, needs)
        const isRight = isAllowed
          ? !said.includes(refusal)
          : said === refusal && (await stateOf(db)) === before
        if (!isRight) wrong.push([line.slice(0, 40), said])
      }
    }
    expect(wrong).toEqual([])
  },
)

test('a large value that is refused takes the member that it was to replace only where it may be written', async () => {
  await using port = await guardedPort({ maxValueBytes: 1000 })
  const { db } = port.opened
  const { client } = await port.loggedIn({ collections: 'cache', key_prefix: 't1/', can: ['write'] })
  for (const key of ['t1/k', 't2/k']) await db.put('cache', key, content)
  const tooLarge = 'SERVER_ERROR object too large for cache\r\n'
  expect(await responseTo(client, set('t1/k', 'x'.repeat(2000)) + set('t2/k', 'x'.repeat(2000)))).toBe(
    tooLarge + refusal,
  )
  expect(await db.get('cache', 't1/k')).toBeNull()
  expect(await db.get('cache', 't2/k')).not.toBeNull()
})

test('nor does a value that is given up for lack of memory', async () => {
  await using port = await guardedPort({ maxHeldBytes: 1 })
  const { db } = port.opened
  await db.put('cache', 'k', content)
  for (const command of ['set k 0 0 500000\r\n', 'ms k 500000\r\n']) {
    const reader = await port.loggedIn({ collections: 'cache', can: ['read'] })
    reader.client.send(command + 'x'.repeat(200_000))
    expect(await reader.client.until('\r\n')).toBe(refusal)
    expect(await db.get('cache', 'k')).not.toBeNull()
  }
  const writer = await port.loggedIn({ collections: 'cache', can: ['write'] })
  writer.client.send(`set k 0 0 500000\r\n${'x'.repeat(200_000)}`)
  expect(await writer.client.until('\r\n')).toBe('SERVER_ERROR out of memory storing object\r\n')
  expect(await db.get('cache', 'k')).toBeNull()
})

test('a command with many keys is refused whole where one of them is out of reach', async () => {
  await using port = await guardedPort()
  const { client } = await port.loggedIn({ collections: 'cache', key_prefix: 't1/', can: ['read', 'write'] })
  for (const key of ['t1/a', 't1/b', 't2/a']) await port.opened.db.put('cache', key, content)
  for (const command of ['get', 'gets', 'gat 0'])
    expect(await responseTo(client, `${command} t1/a t2/a t1/b\r\n`)).toBe(refusal)
  expect(await responseTo(client, 'get t1/a t1/b\r\n')).toBe(
    'VALUE t1/a 0 1\r\n1\r\nVALUE t1/b 0 1\r\n1\r\nEND\r\n',
  )
})

test('no spelling of a key leaves the prefix', async () => {
  await using port = await guardedPort()
  const { client } = await port.loggedIn({ collections: 'cache', key_prefix: 'té/', can: ['read'] })
  await port.opened.db.put('cache', 't2/a', content)
  const base64 = (text: string) => Buffer.from(text).toString('base64')
  const latin1 = (text: string) => Buffer.from(text).toString('latin1')
  for (const key of ['t2/a', 't\u0065\u0301/a', 'T\u00e9/a', 't\u00e8/a', 't\u00e9', 't\u00e9\\a'].map(
    latin1,
  ))
    expect(await responseTo(client, `mg ${key}\r\n`)).toBe(refusal)
  expect(await responseTo(client, `mg ${base64('t2/a')} b v\r\n`)).toBe(refusal)
  expect(await responseTo(client, `mg ${base64('té/../t2/a')} b v\r\n`)).toBe('EN\r\n')
  expect(await responseTo(client, `mg ${latin1('té/a')} v\r\n`)).toBe('EN\r\n')
})

describe('a pipeline', () => {
  test('has its responses in order, refusals among them, and quiet commands stay quiet as in memcached', async () => {
    await using port = await guardedPort()
    const { client } = await port.loggedIn({
      collections: 'cache',
      key_prefix: 't1/',
      can: ['read', 'write'],
    })
    const requests = [
      set('t1/a', '1'),
      set('t2/a', '1'),
      set('t2/b', '1', ' noreply'),
      set('t1/b', '2', ' noreply'),
      'get t1/a\r\n',
      'get t2/a\r\n',
      'incr t2/a 1 noreply\r\n',
      'incr t1/a 1\r\n',
      'delete t2/a noreply\r\n',
      'touch t2/a 5\r\n',
      'mg t2/a v q\r\n',
      'mg t1/none v q\r\n',
      'ms t2/c 1 q\r\n1\r\n',
      'flush_all noreply\r\n',
      'get t1/b\r\n',
    ]
    expect(await responseTo(client, requests.join(''))).toBe(
      [
        'STORED\r\n',
        refusal,
        'VALUE t1/a 0 1\r\n1\r\nEND\r\n',
        refusal,
        '2\r\n',
        refusal,
        refusal,
        refusal,
        'VALUE t1/b 0 1\r\n2\r\nEND\r\n',
      ].join(''),
    )
    expect(await stateOf(port.opened.db)).toMatch(/^\[\["t1\/a",\d+,null\],\["t1\/b",\d+,null\]\]$/)
  })

  test('reads that share a batch are each within reach', async () => {
    await using port = await guardedPort()
    await port.opened.db.put('cache', 't2/a', content)
    const { client } = await port.loggedIn({ collections: 'cache', key_prefix: 't1/', can: ['read'] })
    const root = await port.opened.connect()
    await root.ask(login('root'), '\r\n')
    const [mine, all] = await Promise.all([
      responseTo(client, 'get t1/a\r\nget t2/a\r\nmg t2/a v\r\n'),
      responseTo(root, 'get t2/a\r\n'),
    ])
    expect(mine).toBe(`END\r\n${refusal}${refusal}`)
    expect(all).toBe('VALUE t2/a 0 1\r\n1\r\nEND\r\n')
  })
})

describe('a login', () => {
  test('with a token that reaches nothing here is as one with a wrong token', async () => {
    await using port = await guardedPort()
    for (const grant of [
      { collections: 'other', can: ['read', 'write'] },
      { collections: 'cache', can: ['admin', 'replicate'] },
      { collections: '?_cache', can: ['read'] },
    ]) {
      const created = await port.tokens.create({ ...anyToken, grants: parseGrants([grant]) }, nowMs)
      const client = await port.opened.connect()
      expect(await client.ask(login(created.text!), '\r\n')).toBe('CLIENT_ERROR authentication failure\r\n')
      expect(await client.ask('get k\r\n', '\r\n')).toBe('CLIENT_ERROR unauthenticated\r\n')
      client.destroy()
    }
  })

  test('on a connection that has logged in is a set like any other: it gives no other permissions', async () => {
    await using port = await guardedPort()
    const reader = await port.loggedIn({ collections: 'cache', can: ['read'] })
    expect(await responseTo(reader.client, login('root'))).toBe(refusal)
    expect(await responseTo(reader.client, set('k', '1'))).toBe(refusal)
    const other = await port.loggedIn({ collections: 'cache', key_prefix: 'any', can: ['write'] })
    expect(await responseTo(other.client, login('root') + set('k', '1'))).toBe(`STORED\r\n${refusal}`)
  })

  test('with a token that has expired, was revoked or is forged is refused', async () => {
    let now = nowMs
    await using port = await guardedPort({ now: () => now })
    const grants = parseGrants([{ collections: 'cache', can: ['read'] }])
    const short = await port.tokens.create({ ...anyToken, grants, expiresAtMs: nowMs + 1000 }, nowMs)
    const revoked = await port.tokens.create({ ...anyToken, grants }, nowMs)
    await port.tokens.revoke(revoked.token.id)
    now += 1000
    const forged = short.text!.slice(0, -43) + revoked.text!.slice(-43)
    for (const text of [short.text!, revoked.text!, forged, `${short.text}x`, 'Root']) {
      const client = await port.opened.connect()
      expect(await client.ask(login(text), '\r\n')).toBe('CLIENT_ERROR authentication failure\r\n')
      client.destroy()
    }
  })
})

describe('the end of a token', () => {
  test('closes its connections at once, and no other', async () => {
    await using port = await guardedPort()
    const one = await port.loggedIn({ collections: 'cache', can: ['read'] })
    const second = await port.opened.connect()
    await second.ask(login(one.text), '\r\n')
    const other = await port.loggedIn({ collections: 'cache', can: ['read'] })
    await port.tokens.revoke(one.id)
    expect(await one.client.rest()).toBe('')
    expect(await second.rest()).toBe('')
    expect(await responseTo(other.client, 'get k\r\n')).toBe('END\r\n')
  })

  test('in the middle of a pipeline: what comes after it is not done', async () => {
    let revoke = (): Promise<boolean> => Promise.reject(new Error('too early'))
    const store = await openPort()
    const db: Database = {
      ...store.db,
      async update(ref, decide, durability) {
        await revoke()
        return store.db.update(ref, decide, durability)
      },
    }
    await using _ = store
    await using port = await guardedPort({ db })
    const { id, client } = await port.loggedIn({ collections: 'cache', can: ['read', 'write'] })
    revoke = () => port.tokens.revoke(id)
    client.send(`${set('before', '1')}incr before 1\r\n${set('after', '1')}${set('later', '1', ' noreply')}`)
    expect(await client.rest()).not.toContain('STORED\r\nSTORED')
    expect(await store.db.get('cache', 'before')).not.toBeNull()
    expect(await store.db.get('cache', 'after')).toBeNull()
    expect(await store.db.get('cache', 'later')).toBeNull()
  })

  test('ends a read of many keys between two parts of it', async () => {
    const store = await openPort()
    let reads = 0
    let revoke = (): Promise<boolean> => Promise.reject(new Error('too early'))
    const db: Database = {
      ...store.db,
      async readMany(refs, maxBytes) {
        if (++reads === 2) await revoke()
        return store.db.readMany(refs, maxBytes)
      },
    }
    await using _ = store
    await using port = await guardedPort({ db })
    const { id, client } = await port.loggedIn({ collections: 'cache', can: ['read'] })
    revoke = () => port.tokens.revoke(id)
    client.send(`get${' k'.repeat(5000)}\r\n`)
    expect(await client.rest()).not.toContain('END')
    expect(reads).toBeLessThan(4)
  })

  test('by its time refuses the next command and closes, swept or not', async () => {
    let now = nowMs
    await using port = await guardedPort({ now: () => now })
    const grants = parseGrants([{ collections: 'cache', can: ['read', 'write'] }])
    const { text } = await port.tokens.create({ ...anyToken, grants, expiresAtMs: nowMs + 60_000 }, nowMs)
    const client = await port.opened.connect()
    await client.ask(login(text!), '\r\n')
    now += 59_999
    expect(await responseTo(client, set('k', '1'))).toBe('STORED\r\n')
    now += 1
    client.send(set('k', '2') + set('k', '3'))
    const said = await client.rest()
    expect(['', 'CLIENT_ERROR unauthenticated\r\n']).toContain(said)
    expect(String((await port.opened.db.get('cache', 'k'))!.value)).toBe('1')
  })
})
