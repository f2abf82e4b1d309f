import { afterEach, expect, test } from 'bun:test'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Grant } from '../src/core/grants.ts'
import { noSettings } from '../src/core/settings.ts'
import { startNode, type TestNode } from './support/nodes.ts'
import { kvistProgram, newFolder } from './support/server.ts'
import { runToEnd } from './support/spawn.ts'

/** `kvist nodes compare` and `kvist nodes sync` between two servers. */

const running: TestNode[] = []
const folder = newFolder()
afterEach(async () => {
  for (const node of running.splice(0)) await node.stop()
  rmSync(folder, { recursive: true, force: true })
})

async function twoNodes(token: string | null = null): Promise<[TestNode, TestNode]> {
  const nodes = await Promise.all([startNode({ token }), startNode({ token })])
  running.push(...nodes)
  return nodes as [TestNode, TestNode]
}

const json = (text: string, expiresAtMs: number | null = null) => ({
  value: text,
  contentType: 'application/json',
  flags: 0,
  expiresAtMs,
})

async function kvist(...args: readonly string[]) {
  const { exitCode, stdout, stderr } = await runToEnd([kvistProgram, 'nodes', ...args], {
    env: { PATH: process.env.PATH ?? '' },
  })
  return { exitCode, lines: stdout.split('\n').filter((line) => line !== ''), stderr }
}

const content = async ({ db }: TestNode, collection: string, key: string) => {
  const member = (await db.get(collection, key))!
  const { value, flags, contentType, createdAtMs, expiresAtMs, clock, node } = member
  return { value, flags, contentType, createdAtMs, expiresAtMs, clock, node: node || db.nodeId }
}

test('what two servers have differently is shown, and made equal byte for byte', async () => {
  const [a, b] = await twoNodes()
  await a.db.put('c', 'spaced', { ...json('{ "n":\n 1.0 }'), flags: 7 })
  await a.db.put('c', 'expiring', json('1', Date.now() + 3_600_000))
  await b.db.put('files', 'é/\t1', {
    ...json(''),
    value: new Uint8Array([0, 255, 10]),
    contentType: 'image/png',
  })
  await b.db.put('files', 'large', {
    ...json(''),
    value: Buffer.alloc(3_000_000, 7),
    contentType: 'text/plain',
  })
  await b.db.setSettings('c', { ...noSettings, maxMembers: 9 })
  for (const { db } of [a, b]) await db.put('c', 'both', json('"x"'))
  const compared = await kvist('compare', a.url, b.url)
  expect([compared.exitCode, compared.lines.length]).toEqual([1, 6])
  expect(compared.stderr).toContain('6 differ')
  expect(compared.lines[1]).toMatch(/^c\tboth\tput \S+ \w+\tput \S+ \w+\t[ab]$/)
  expect(compared.lines.map((line) => line.split('\t').slice(0, 2).join('/'))).toEqual([
    '_settings/c',
    'c/both',
    'c/expiring',
    'c/spaced',
    'files/large',
    'files/é/\\u00091',
  ])
  const dry = await kvist('sync', a.url, b.url, '--dry-run')
  expect([dry.exitCode, dry.lines.length]).toEqual([0, 6])
  expect(await b.db.get('c', 'spaced')).toBeNull()
  const synced = await kvist('sync', a.url, b.url)
  expect([synced.exitCode, synced.lines]).toEqual([0, []])
  expect(synced.stderr).toMatch(/^kvist: copied \d to A and \d to B, removed 0\n$/)
  for (const [collection, key] of [
    ['c', 'both'],
    ['c', 'spaced'],
    ['c', 'expiring'],
    ['files', 'é/\t1'],
    ['files', 'large'],
  ] as const)
    expect(await content(b, collection, key)).toEqual(await content(a, collection, key))
  expect(a.db.settings('c').maxMembers).toBe(9)
  expect(await kvist('compare', a.url, b.url, '-q')).toEqual({ exitCode: 0, lines: [], stderr: '' })
})

test('differences are printed as JSON, and may be limited to collections and keys', async () => {
  const [a, b] = await twoNodes()
  for (const [collection, key] of [
    ['users', 'a1'],
    ['users', 'b1'],
    ['logs', 'a1'],
  ] as const)
    await a.db.put(collection, key, json('1'))
  const { lines } = await kvist('compare', a.url, b.url, '--json', '-c', 'us*', '--prefix', 'a')
  const [only, ...others] = lines.map((line) => JSON.parse(line))
  expect(others).toEqual([])
  const { clock } = await content(a, 'users', 'a1')
  expect(only).toEqual({
    collection: 'users',
    key: 'a1',
    a: {
      type: 'put',
      origin: { node: a.db.nodeId, clock },
      written_at: new Date(Math.floor(clock / 2048)).toISOString(),
      expires_at: null,
    },
    b: { type: 'none' },
    newer: 'a',
  })
  const synced = await kvist('sync', a.url, b.url, '-c', 'users', '-c', 'x', '--prefix', 'b')
  expect(synced.exitCode).toBe(0)
  expect(await b.db.get('users', 'b1')).not.toBeNull()
  expect(await b.db.get('users', 'a1')).toBeNull()
})

async function tokenFile(node: TestNode, name: string, grants: readonly Grant[]): Promise<string> {
  const { text } = await node.tokens.create(
    { name, grants, subject: null, rate: null, expiresAtMs: null },
    Date.now(),
  )
  const path = join(newFolder(), 'token')
  writeFileSync(path, text!, { mode: 0o600 })
  return path
}

test('a token needs replicate to compare, read as well to sync, and what it does not reach is named', async () => {
  const [a, b] = await twoNodes('root')
  await a.db.put('c', 'k', json('1'))
  await a.db.put('other', 'k', json('1'))
  const grant = (collections: string, ...can: Grant['can'][number][]): Grant => ({
    collections,
    keyPrefix: '',
    can,
  })
  const compare = async (ofA: readonly Grant[], ofB: readonly Grant[], ...args: readonly string[]) =>
    kvist(
      ...args,
      a.url,
      b.url,
      ...['--token-file', await tokenFile(a, 'a', ofA), '--token-file-b', await tokenFile(b, 'b', ofB)],
    )
  const node = [grant('*', 'replicate')]
  expect((await compare(node, node, 'compare')).lines).toHaveLength(2)
  const reader = [grant('*', 'read', 'write', 'admin')]
  expect(await compare(reader, node, 'compare')).toMatchObject({ exitCode: 1, lines: [] })
  expect((await compare(reader, node, 'compare')).stderr).toContain('does not grant replicate')
  const one = await compare([grant('c', 'replicate')], [grant('*', 'replicate')], 'compare')
  expect(one.lines).toHaveLength(1)
  const part = await compare([{ ...grant('c', 'replicate'), keyPrefix: 'k' }], node, 'compare')
  expect([part.exitCode, part.lines]).toEqual([1, []])
  expect(part.stderr).toContain('not compared: c, of which a token does not reach all')
  const prefixed = await compare(
    [{ ...grant('c', 'replicate'), keyPrefix: 'k' }],
    node,
    'compare',
    '-c',
    'c',
    '--prefix',
    'k',
  )
  expect(prefixed.lines).toHaveLength(1)
  const blind = await compare(node, node, 'sync')
  expect([blind.exitCode, blind.stderr]).toEqual([1, expect.stringContaining('does not grant read')])
  expect((await compare([grant('*', 'replicate', 'read')], node, 'sync')).exitCode).toBe(0)
  expect(await b.db.get('c', 'k')).not.toBeNull()
})

test.each([
  [['compare', 'http://127.0.0.1:9'], 2, 'needs B'],
  [['compare', 'http://127.0.0.1:9', 'http://127.0.0.1:9', '-q'], 1, 'cannot reach'],
  [['compare', 'ftp://x', 'http://127.0.0.1:9'], 2, 'http or https'],
  [['compare', 'http://127.0.0.1:9', 'http://127.0.0.1:9', '-c', '_settings'], 2, 'begin with _'],
  [['sync', 'http://127.0.0.1:9', 'http://127.0.0.1:9', '--keep', '--remove'], 2, 'contradict'],
])('%j ends with %i: %s', async (args, exitCode, why) => {
  const ended = await kvist(...args)
  expect([ended.exitCode, ended.stderr]).toEqual([exitCode, expect.stringContaining(why)])
})

test.each([
  ['/v1/_digests', {}],
  ['/v1/_digests', { collection: 'c', at: '2026-01-01T00:00:00Z' }],
  ['/v1/_digests', { collection: 'c', at: 'now', members: 1 }],
  ['/v1/_digests', { collection: 'c', at: '2026-01-01T00:00:00Z', members: 0 }],
  ['/v1/_digests', { collection: 'c', at: '2026-01-01T00:00:00Z', members: 1e9 }],
  ['/v1/_digests', { collection: 'c', at: '2026-01-01T00:00:00Z', ends: [] }],
  ['/v1/_digests', { collection: 'c', at: '2026-01-01T00:00:00Z', ends: [1] }],
  ['/v1/_digests', { collection: 'c', at: '2026-01-01T00:00:00Z', ends: Array(257).fill('k') }],
  ['/v1/_digests', { collection: '_mirrors', at: '2026-01-01T00:00:00Z', members: 1 }],
  ['/v1/_digests', { collection: 'c', at: '2026-01-01T00:00:00Z', members: 1, more: 1 }],
  ['/v1/_versions', { collection: 'c', at: '2026-01-01T00:00:00Z' }],
  ['/v1/_versions', { collection: 'c', at: '2026-01-01T00:00:00Z', limit: 1001 }],
  ['/v1/_versions', { collection: 'c', from: 7, at: '2026-01-01T00:00:00Z', limit: 1 }],
  ['/v1/_states', { at: '2026-01-01T00:00:00Z' }],
  ['/v1/_states', { members: [{ collection: 'c', key: '' }], at: '2026-01-01T00:00:00Z' }],
  ['/v1/_states', { members: [{ collection: 'c', key: 'k', a: 1 }], at: '2026-01-01T00:00:00Z' }],
  ['/v1/_states', { members: [{ collection: '_uses', key: 'k' }], at: '2026-01-01T00:00:00Z' }],
  ['/v1/_states', { members: Array(1001).fill({ collection: 'c', key: 'k' }), at: '2026-01-01T00:00:00Z' }],
  ['/v1/_entries', { members: 'k' }],
  ['/v1/_entries', []],
])('%s refuses %j', async (path, body) => {
  const [{ url }] = await twoNodes()
  const headers = { 'Content-Type': 'application/json' }
  const response = await fetch(url + path, { method: 'POST', headers, body: JSON.stringify(body) })
  expect([response.status >= 400 && response.status < 500, await response.text()]).toEqual([
    true,
    expect.stringContaining('"code":"'),
  ])
})
