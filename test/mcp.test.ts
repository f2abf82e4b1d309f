import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Client } from '@modelcontextprotocol/client'
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio'
import { Kvist } from '../sdk/client.ts'
import { type ServerInProcess, serveInProcess } from './support/in-process-server.ts'
import { kvistProgram } from './support/server.ts'
import { until } from './support/until.ts'

/** `kvist mcp` as an MCP client runs it: a process, whose client is that of the protocol's own SDK. */

const root = 'sesame'
let server: ServerInProcess
let kvist: Kvist
beforeAll(async () => {
  server = await serveInProcess({ env: { KVIST_TOKEN: root } })
  kvist = new Kvist(server.url, { token: root, retries: 0 })
})
afterAll(() => server.stop())

interface Agent {
  readonly client: Client
  /** Calls a tool, and returns its text. */
  call(name: string, given: Record<string, unknown>, options?: { signal?: AbortSignal }): Promise<string>
  /** Calls a tool that fails, and returns the reason. */
  fail(name: string, given: Record<string, unknown>): Promise<string>
  stderr(): string
}

const agents: Client[] = []
afterEach(async () => {
  for (const client of agents.splice(0)) await client.close()
})

type Revision = 'legacy' | { pin: '2026-07-28' }

async function startAgent(
  args: readonly string[] = [],
  { token = root, url = server.url, mode = 'legacy' as Revision } = {},
): Promise<Agent> {
  const transport = new StdioClientTransport({
    command: kvistProgram,
    args: ['mcp', ...args],
    env: { PATH: process.env.PATH ?? '', KVIST_URL: url, KVIST_TOKEN: token },
    stderr: 'pipe',
  })
  let stderr = ''
  transport.stderr?.on('data', (part) => {
    stderr += part
  })
  const client = new Client({ name: 'test', version: '1' }, { versionNegotiation: { mode } })
  // What is no message of the protocol on standard output ends here.
  client.onerror = (error) => {
    throw error
  }
  await client.connect(transport)
  agents.push(client)
  async function run(name: string, given: Record<string, unknown>, options = {}) {
    const { content, isError = false } = await client.callTool({ name, arguments: given }, options)
    const [first] = content
    if (content.length !== 1 || first?.type !== 'text')
      throw new Error(`not one text: ${JSON.stringify(content)}`)
    return { text: first.text, isError }
  }
  return {
    client,
    async call(name, given, options) {
      const { text, isError } = await run(name, given, options)
      expect({ text, isError }).toEqual({ text, isError: false })
      return text
    },
    async fail(name, given) {
      const { text, isError } = await run(name, given)
      expect({ text, isError }).toEqual({ text, isError: true })
      return text
    },
    stderr: () => stderr,
  }
}

describe('an agent that may write', () => {
  let agent: Agent
  beforeEach(async () => {
    agent = await startAgent(['--write'])
  })

  test('stores, gets and deletes JSON, text and bytes, with conditions', async () => {
    const put = async (given: object) => JSON.parse(await agent.call('put', { collection: 'made', ...given }))
    const first = await put({ key: 'a', value: { n: 1 } })
    expect(first).toMatchObject({ key: 'a', content_type: 'application/json', expires_at: null })
    await put({
      key: 'exact',
      text: '{"n": 1.0, "big": 12345678901234567890}',
      content_type: 'application/json',
    })
    await put({ key: 'text', text: 'hello', expire_in: '1h' })
    await put({ key: 'bytes', base64: 'AP8=', content_type: 'image/png' })

    const get = (key: string) => agent.call('get', { collection: 'made', key })
    expect(JSON.parse(await get('a'))).toMatchObject({ key: 'a', revision: first.revision, value: { n: 1 } })
    expect(await get('exact')).toContain('"value":{"n":1.0,"big":12345678901234567890}')
    expect(JSON.parse(await get('text'))).toMatchObject({
      value_text: 'hello',
      content_type: 'text/plain; charset=utf-8',
    })
    expect(JSON.parse(await get('text')).expires_at).not.toBeNull()
    expect(JSON.parse(await get('bytes'))).toMatchObject({ value_base64: 'AP8=', content_type: 'image/png' })

    const same = { collection: 'made', key: 'a', value: 2 }
    expect(await agent.fail('put', { ...same, create: true })).toContain('exist')
    expect(await agent.fail('put', { ...same, if_revision: first.revision + 100 })).toContain('revision')
    await put({ key: 'a', value: 2, if_revision: first.revision })
    expect(
      await agent.fail('delete', { collection: 'made', key: 'a', if_revision: first.revision }),
    ).toContain('revision')
    expect(await agent.call('delete', { collection: 'made', key: 'a' })).toBe('{"deleted":true}')
    expect(await agent.call('delete', { collection: 'made', key: 'a' })).toBe('{"deleted":false}')
    expect(await agent.fail('get', { collection: 'made', key: 'a' })).toBe('there is no member "a" in "made"')
  })

  const refused: [name: string, given: Record<string, unknown>, reason: string][] = [
    ['put', { collection: 'made', key: 'x' }, 'put takes exactly one of value, text and base64'],
    [
      'put',
      { collection: 'made', key: 'x', value: 1, text: 'b' },
      'put takes exactly one of value, text and base64',
    ],
    [
      'put',
      { collection: 'made', key: 'x', value: 1, content_type: 'a/b' },
      'content_type goes with text and base64',
    ],
    ['put', { collection: 'made', key: 'x', base64: '*' }, 'base64: '],
    ['put', { collection: 'made', key: 'x', text: '{', content_type: 'application/json' }, 'JSON'],
    ['put', { collection: 'made', key: '', value: 1 }, 'the key must be'],
    ['put', { collection: '_made', key: 'a', value: 1 }, 'the collection must be'],
    ['put', { collection: 'made', key: 'k'.repeat(513), value: 1 }, '512 bytes'],
    ['put', { collection: 'made', key: 'x', value: 1, expire_in: 'soon' }, 'soon'],
    ['get', { collection: 'made' }, 'key: '],
    ['get', { collection: 'made', key: 'a', more: 1 }, 'more'],
    ['list', { collection: 'made', limit: 0 }, 'limit: '],
    ['watch', { collection: 'made', key: 'a', prefix: 'a' }, 'it goes with neither prefix nor filter'],
    ['watch', { collection: 'made', since: 'what', wait_seconds: 0 }, 'resume point'],
  ]
  test('gets a line for whatever is wrong, and nothing is stored', async () => {
    for (const [name, given, reason] of refused) {
      const found = await agent.fail(name, given)
      expect([name, given, found]).toEqual([name, given, expect.stringContaining(reason)])
      expect(found).not.toContain('\n')
    }
    expect(await kvist.collection('made').get('x')).toBeNull()
    await expect(agent.client.callTool({ name: 'drop', arguments: {} })).rejects.toThrow(
      'there is no tool drop',
    )
  })
})

test('lists go on after the last key, find by patterns, and are bounded', async () => {
  const users = kvist.collection('users')
  await users.import(
    Array.from({ length: 25 }, (_, i) => ({
      key: `u${`${i}`.padStart(2, '0')}`,
      value: { name: i % 2 ? 'Ada' : 'Bob' },
    })),
  )
  await users.put('long', { text: 'ä'.repeat(10_000) })
  const agent = await startAgent()
  const list = async (given: object) =>
    JSON.parse(await agent.call('list', { collection: 'users', ...given }))
  expect(await list({ prefix: 'u0', limit: 3 })).toEqual({ keys: ['u00', 'u01', 'u02'], next: 'u02' })
  expect(await list({ prefix: 'u0', after: 'u02', limit: 7 })).toEqual({
    keys: ['u03', 'u04', 'u05', 'u06', 'u07', 'u08', 'u09'],
    next: null,
  })
  expect((await list({ after: 'u2' })).keys).toEqual(['u20', 'u21', 'u22', 'u23', 'u24'])

  const find = async (given: object) =>
    JSON.parse(await agent.call('find', { collection: 'users', ...given }))
  const ada = await find({ filter: 'u1?', match: 'A*', limit: 2 })
  expect(ada).toMatchObject({
    members: [{ key: 'u11', value: { name: 'Ada' } }, { key: 'u13' }],
    next: 'u13',
  })
  expect(
    (await find({ filter: 'u1?', match: 'A*', after: 'u13' })).members.map(({ key }: { key: string }) => key),
  ).toEqual(['u15', 'u17', 'u19'])
  const keysOf = async (given: object) =>
    (await find(given)).members.map(({ key, value }: { key: string; value: unknown }) => [key, value])
  expect(await keysOf({ prefix: 'u1', where: '@.name == "Ada"', limit: 2, fields: '@.name' })).toEqual([
    ['u11', { name: 'Ada' }],
    ['u13', { name: 'Ada' }],
  ])
  expect((await keysOf({ where: '@.name', after: 'u20', limit: 1 }))[0][0]).toBe('u21')
  expect((await keysOf({ where: '@.name', order: '-@.name,-@', limit: 1 }))[0][0]).not.toBe('u00')
  expect(await agent.fail('find', { collection: 'users', where: '@.name ==' })).toContain('expected a value')
  expect(await agent.fail('find', { collection: 'users', order: '@.name', after: 'u1' })).toContain(
    'does not go',
  )
  const [long] = (await find({ filter: 'long' })).members
  expect(long).not.toHaveProperty('value')
  expect(long).toMatchObject({ note: 'the first 4096 of 10011 characters of JSON; get shows more' })
  expect(long.value_start).toHaveLength(4096)

  for (let i = 0; i < 30; i++) await kvist.collection('wide').put(`w${i}`, 'x'.repeat(4000))
  const pages: string[][] = []
  for (let after: string | null | undefined; after !== null; ) {
    const text = await agent.call('find', {
      collection: 'wide',
      limit: 100,
      ...(after === undefined ? {} : { after }),
    })
    expect(text.length).toBeLessThan(70_000)
    const { members, next } = JSON.parse(text)
    pages.push(members.map(({ key }: { key: string }) => key))
    after = next
  }
  expect(pages.length).toBe(2)
  expect(new Set(pages.flat()).size).toBe(30)

  await kvist
    .collection('large')
    .putRaw('bytes', new Uint8Array(3_000_000).fill(255), 'application/octet-stream')
  await kvist.collection('large').putText('text', 'ä'.repeat(100_000))
  const bytes = JSON.parse(await agent.call('get', { collection: 'large', key: 'bytes' }))
  expect(bytes).toMatchObject({ note: 'the first 65536 bytes; kvist get prints all of it' })
  expect(Buffer.from(bytes.value_base64_start, 'base64')).toEqual(Buffer.alloc(65_536, 255))
  const text = JSON.parse(await agent.call('get', { collection: 'large', key: 'text' }))
  expect(text.value_start).toBe('ä'.repeat(32_768))

  const all = JSON.parse(await agent.call('collections', {}))
  expect(all.collections).toContainEqual(expect.objectContaining({ name: 'users', members: 26 }))
  expect(JSON.parse(await agent.call('collections', { prefix: 'la' })).collections).toHaveLength(1)
})

test('an agent without --write changes nothing, and one with --collection sees nothing else', async () => {
  await kvist.collection('seen').put('a', 1)
  await kvist.collection('hidden').put('a', 1)
  const agent = await startAgent(['--collection', 'seen,other'])
  const { tools } = await agent.client.listTools()
  expect(tools.map(({ name }) => name)).toEqual(['collections', 'list', 'get', 'find', 'watch'])
  expect(tools.every(({ annotations }) => annotations?.readOnlyHint)).toBe(true)
  for (const [name, given] of [
    ['put', { collection: 'seen', key: 'a', value: 2 }],
    ['delete', { collection: 'seen', key: 'a' }],
  ] as const)
    expect(await agent.fail(name, given)).toBe(
      `${name} is not allowed: kvist mcp only reads unless it is started with --write`,
    )
  expect((await kvist.collection('seen').get('a'))?.value).toBe(1)

  expect(JSON.parse(await agent.call('get', { collection: 'seen', key: 'a' })).value).toBe(1)
  const collections = JSON.parse(await agent.call('collections', {})).collections
  expect(collections.map(({ name }: { name: string }) => name)).toEqual(['seen'])
  const reason = 'kvist mcp shows only seen, other, not "hidden": see --collection'
  const given = { collection: 'hidden', key: 'a' }
  expect(await agent.fail('get', given)).toBe(reason)
  for (const name of ['list', 'find', 'watch'])
    expect(await agent.fail(name, { collection: 'hidden' })).toBe(reason)
  for (const uri of ['kvist://hidden', 'kvist://hidden/a'])
    await expect(agent.client.readResource({ uri })).rejects.toThrow(reason)
  const { resources } = await agent.client.listResources()
  expect(resources.map(({ uri }) => uri)).toEqual(['kvist://seen'])
})

test('the token says what an agent may do', async () => {
  await kvist.collection('mine').put('a', 1)
  await kvist.collection('theirs').put('a', 1)
  const { token } = await kvist.tokens.create({
    name: 'agent',
    grants: [{ collections: 'mine', can: ['read'] }],
  })
  const agent = await startAgent(['--write'], { token })
  expect(JSON.parse(await agent.call('get', { collection: 'mine', key: 'a' })).value).toBe(1)
  expect(await agent.fail('put', { collection: 'mine', key: 'a', value: 2 })).toContain('write')
  expect(await agent.fail('get', { collection: 'theirs', key: 'a' })).toContain('read')
  expect(JSON.parse(await agent.call('collections', {})).collections).toHaveLength(1)
  const wrong = await startAgent([], { token: 'wrong' })
  expect(await wrong.fail('get', { collection: 'mine', key: 'a' })).toContain(
    'see KVIST_TOKEN and --token-file',
  )
})

test('watch returns what changes, goes on where it ended, waits as long as it is asked to, and can be cancelled', async () => {
  const jobs = kvist.collection('jobs')
  const agent = await startAgent()
  const watch = async (given: object) =>
    JSON.parse(await agent.call('watch', { collection: 'jobs', ...given }))
  const { changes, next } = await watch({ wait_seconds: 0 })
  expect(changes).toEqual([])
  await jobs.put('a', 1)
  await jobs.put('b', 2)
  await jobs.delete('a')
  const later = await watch({ since: next })
  expect(later.changes).toMatchObject([
    { type: 'put', key: 'b', value: 2 },
    { type: 'delete', key: 'a' },
  ])
  const one = await watch({ since: next, limit: 1 })
  expect(one.changes).toHaveLength(1)
  expect((await watch({ since: one.next })).changes).toMatchObject([{ type: 'delete', key: 'a' }])

  const waiting = watch({ since: later.next, key: 'c' })
  await jobs.put('cc', 0)
  await jobs.put('c', 3)
  expect((await waiting).changes).toMatchObject([{ type: 'put', key: 'c', value: 3 }])

  for (let i = 0; i < 30; i++) await jobs.put(`wide${i}`, 'x'.repeat(4000))
  const wide = await agent.call('watch', { collection: 'jobs', since: later.next, prefix: 'wide', limit: 30 })
  expect(wide.length).toBeLessThan(80_000)
  expect(JSON.parse(wide).changes).toHaveLength(30)

  const others = await waiters()
  const stop = new AbortController()
  const cancelled = agent.call('watch', { collection: 'jobs', wait_seconds: 300 }, { signal: stop.signal })
  await until(async () => (await waiters()) > others, 'it watches')
  stop.abort(new Error('enough'))
  await expect(cancelled).rejects.toThrow('enough')
  await until(async () => (await waiters()) === others, 'it has ended')
  expect(JSON.parse(await agent.call('get', { collection: 'jobs', key: 'c' })).value).toBe(3)
})

/** The requests that are open on the server. */
async function waiters(): Promise<number> {
  const text = await (
    await fetch(`${server.url}/metrics`, { headers: { authorization: `Bearer ${root}` } })
  ).text()
  return Number(/^kvist_open_requests (\d+)/m.exec(text)?.[1] ?? 0)
}

test('collections and members are resources', async () => {
  const odd = kvist.collection('odd ones')
  await odd.put('a/b c', { n: 1 })
  await odd.putRaw('dot/..', new Uint8Array([0, 255]), 'image/png')
  await odd.putRaw('large', new Uint8Array(2_000_000), 'image/png')
  const { client } = await startAgent()
  const { resources } = await client.listResources()
  expect(resources).toContainEqual(expect.objectContaining({ uri: 'kvist://odd%20ones', name: 'odd ones' }))
  const { resourceTemplates } = await client.listResourceTemplates()
  expect(resourceTemplates.map(({ uriTemplate }) => uriTemplate)).toEqual([
    'kvist://{collection}',
    'kvist://{collection}/{+key}',
  ])
  const read = async (uri: string) => (await client.readResource({ uri })).contents
  expect(await read('kvist://odd%20ones/a/b%20c')).toEqual([
    { uri: 'kvist://odd%20ones/a/b%20c', mimeType: 'application/json', text: '{"n":1}' },
  ])
  expect(await read('kvist://odd%20ones/dot/..')).toEqual([
    { uri: 'kvist://odd%20ones/dot/..', mimeType: 'image/png', blob: 'AP8=' },
  ])
  const [keys] = await read('kvist://odd%20ones')
  expect(JSON.parse(keys && 'text' in keys ? keys.text : '')).toEqual({
    keys: ['a/b c', 'dot/..', 'large'],
    next: null,
  })
  await expect(read('kvist://odd%20ones/large')).rejects.toThrow('more than 1048576 bytes')
  for (const uri of ['kvist://odd%20ones/none', 'kvist://%', 'file:///etc/passwd', 'kvist://'])
    await expect(read(uri)).rejects.toThrow('not found')
})

test.each([
  ['2025', 'legacy'],
  ['2026', { pin: '2026-07-28' }],
] as const)('changes of subscribed resources are reported, by the protocol of %s', async (_year, mode) => {
  const name = `subscribed-${_year}`
  const members = kvist.collection(name)
  const { client } = await startAgent([], { mode })
  const updated: string[] = []
  client.setNotificationHandler('notifications/resources/updated', ({ params }) => {
    updated.push(params.uri)
  })
  const uri = `kvist://${name}/a`
  const end = mode === 'legacy' ? await subscribe(client, uri) : await listen(client, uri)
  await members.put('b', 1)
  await members.put('a', 1)
  await until(() => updated.length > 0, 'the put is reported')
  await members.delete('a')
  await until(() => updated.length > 1, 'the delete is reported')
  await end()
  await members.put('a', 2)
  await client.listTools()
  expect(updated).toEqual([uri, uri])
})

async function subscribe(client: Client, uri: string) {
  await client.subscribeResource({ uri })
  return () => client.unsubscribeResource({ uri })
}

async function listen(client: Client, uri: string) {
  const subscription = await client.listen({ resourceSubscriptions: [uri] })
  return () => subscription.close()
}

test('the settings of docs/mcp.md start it', async () => {
  const page = readFileSync(join(import.meta.dir, '../docs/mcp.md'), 'utf8')
  const blocks = [...page.matchAll(/^```json\n(.*?)^```$/gms)].map(([, block = '']) => JSON.parse(block))
  expect(blocks).toHaveLength(2)
  for (const { mcpServers, servers } of blocks) {
    const { command, args } = (mcpServers ?? servers).kvist
    expect([command, args[0]]).toEqual(['kvist', 'mcp'])
    const agent = await startAgent(
      args.slice(1).map((arg: string) => arg.replace('http://127.0.0.1:7070', server.url)),
    )
    expect(await agent.call('collections', {})).toStartWith('{"collections":')
  }
  const named = [...page.matchAll(/^\| `(\w+)` \| /gm)].map(([, name]) => name)
  const { tools } = await (await startAgent(['--write'])).client.listTools()
  expect(named).toEqual(tools.map(({ name }) => name))
})

test('a server that is gone is a reason, and one that is back works; the process ends with its client', async () => {
  const first = await serveInProcess()
  const port = String(first.port)
  const agent = await startAgent(['--write'], { url: first.url, token: 'any' })
  await first.stop()
  expect(await agent.fail('put', { collection: 'c', key: 'a', value: 1 })).toBe(
    `cannot reach ${first.url}: is kvist serve running?`,
  )
  const second = await serveInProcess({ flags: ['--port', port] })
  try {
    await agent.call('put', { collection: 'c', key: 'a', value: 1 })
    expect(agent.stderr()).toBe('')
  } finally {
    await second.stop()
  }
})
