import { afterEach, expect, test } from 'bun:test'
import { Kvist } from '../sdk/client.ts'
import { msToStamp } from '../src/core/clock.ts'
import { KvistError } from '../src/core/errors.ts'
import { noSettings } from '../src/core/settings.ts'
import { httpTarget } from '../src/replication/http-target.ts'
import { realSleep } from '../src/replication/mirror.ts'
import { checkEveryMs, type Target } from '../src/replication/peer.ts'
import { until } from './support/engine.ts'
import { manualTimers } from './support/manual-timers.ts'
import { startNode, type TestNode, type TestNodeOptions } from './support/nodes.ts'

/** Mirrors and bridges between servers in this process. */

const noonMs = Date.UTC(2026, 5, 1, 12)
const running: TestNode[] = []
afterEach(async () => {
  for (const node of running.splice(0).reverse()) await node.stop()
})

async function node(options: TestNodeOptions = {}): Promise<TestNode> {
  const started = await startNode({ timers: manualTimers(), ...options })
  running.push(started)
  return started
}

async function nodes(count: number, options?: TestNodeOptions): Promise<TestNode[]> {
  return Promise.all(Array.from({ length: count }, () => node(options)))
}

const json = (value: unknown, expiresAtMs: number | null = null) => ({
  value: JSON.stringify(value),
  contentType: 'application/json',
  flags: 0,
  expiresAtMs,
})

/** What clients see of all members, with what nodes compare: without this node's own revisions. */
async function stateOf({ db }: TestNode): Promise<unknown[]> {
  const states: unknown[] = []
  let cursor = ''
  for (;;) {
    const page = await db.changes({ collection: null, key: null, prefix: null, filter: null }, cursor, 1000)
    for (const { change } of page.events) {
      const version = change.type === 'put' ? change.member : change.tombstone
      const { revision: _, node: by, ...rest } = { removedClock: 0, ...version }
      states.push([change.type, change.collection, { ...rest, removedClock: 0, node: by || db.nodeId }])
    }
    cursor = page.next
    if (page.atEnd) break
  }
  return states.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))
}

async function settled(...of: readonly TestNode[]): Promise<void> {
  await until(
    () =>
      of.every(
        ({ mirror }) =>
          mirror === null ||
          mirror.status().every(({ state, lagChanges }) => state === 'current' && lagChanges === 0),
      ),
    'all targets are current',
  )
}

async function agreeing(...of: readonly TestNode[]): Promise<void> {
  await until(async () => {
    const states = await Promise.all(of.map(stateOf))
    return states.every((one) => Bun.deepEquals(one, states[0]))
  }, 'all nodes have the same')
}

test('a target gets what there is, and then every change, byte for byte and with all metadata', async () => {
  const [from, to] = await nodes(2, { now: () => noonMs })
  await from!.db.put('c', 'spaced', { ...json(1), value: '{ "a":\n 1.0 }', flags: 7 })
  await from!.db.put('c', 'bytes', {
    value: new Uint8Array([0, 255, 10]),
    contentType: 'image/png',
    flags: 1,
    expiresAtMs: noonMs + 5000,
  })
  await from!.db.put('c', 'text', {
    value: Buffer.from('a\nb'),
    contentType: 'text/plain',
    flags: 0,
    expiresAtMs: null,
  })
  await from!.db.put('c', 'gone', json(1))
  await from!.db.delete('c', 'gone')
  await from!.db.setSettings('c', { ...noSettings, maxMembers: 9 })
  from!.mirrorTo([to!.url])
  await settled(from!)
  expect(await stateOf(to!)).toEqual(await stateOf(from!))
  expect(to!.db.settings('c').maxMembers).toBe(9)
  expect(await to!.db.removalCause('c', 'gone')).toBe('delete')
  await from!.db.put('c', 'spaced', json(2))
  await from!.db.delete('c', 'bytes')
  await from!.db.setSettings('c', null)
  await settled(from!)
  expect(await stateOf(to!)).toEqual(await stateOf(from!))
  expect(to!.db.settings('c').maxMembers).toBeNull()
  expect(from!.mirror!.status()[0]).toMatchObject({
    node: to!.db.nodeId,
    lagSeconds: 0,
    failures: 0,
    lastError: null,
  })
})

test('a renewal travels, whether a touch extends a life, shortens or ends it', async () => {
  const clock = { nowMs: noonMs }
  const [from, to] = await nodes(2, { now: () => clock.nowMs })
  from!.mirrorTo([to!.url])
  for (const key of ['longer', 'shorter', 'ended', 'never'])
    await from!.db.put('c', key, json(key, noonMs + 5000))
  await settled(from!)
  const before = (await to!.db.get('c', 'longer'))!
  await from!.db.touch({ collection: 'c', key: 'longer' }, noonMs + 9000)
  await from!.db.touch({ collection: 'c', key: 'shorter' }, noonMs + 1000)
  await from!.db.touch({ collection: 'c', key: 'ended' }, noonMs - 1)
  await from!.db.touch({ collection: 'c', key: 'never' }, 'never')
  await settled(from!)
  // The revision, and with it the ETag, stays on the target too.
  expect(await to!.db.get('c', 'longer')).toEqual({ ...before, expiresAtMs: noonMs + 9000 })
  expect(await to!.db.get('c', 'shorter')).toMatchObject({ expiresAtMs: noonMs + 1000 })
  expect(await to!.db.get('c', 'ended')).toBeNull()
  expect(await to!.db.get('c', 'never')).toMatchObject({ expiresAtMs: null })
})

test('a bridge passes a renewal on though it knew the expiry already, also to the node that wrote the member', async () => {
  const [bridge, to] = await nodes(2, { now: () => noonMs })
  bridge!.mirrorTo([to!.url], { isBridge: true })
  await to!.db.put('c', 'of the target', json(1, noonMs + 5000))
  const { clock } = (await to!.db.get('c', 'of the target'))!
  const kvist = new Kvist(bridge!.url)
  const at = (ms: number) => new Date(noonMs + ms).toISOString()
  const line = (key: string, node: string, expiresMs: number, mark = '') =>
    `{"op":"put","collection":"c","key":"${key}","origin":{"node":"${node}","clock":${clock}}${mark},"created_at":"${at(0)}","expires_at":"${at(expiresMs)}","value":1}\n`
  const isRenewal = ',"is_renewal":true'
  await kvist.nodes.replicate(line('of another', 'another', 5000), 'another')
  await until(async () => (await to!.db.get('c', 'of another')) !== null, 'it is passed on')
  // The version comes again with its new expiry, and the renewal after it.
  for (const mark of ['', isRenewal, isRenewal]) {
    await kvist.nodes.replicate(line('of another', 'another', 9000, mark), 'another')
    await kvist.nodes.replicate(line('of the target', to!.db.nodeId, 9000, mark), 'another')
    await settled(bridge!)
  }
  for (const key of ['of another', 'of the target'])
    expect(await to!.db.get('c', key)).toMatchObject({ expiresAtMs: noonMs + 9000 })
  // What it has passed on it does not pass on again.
  expect(bridge!.mirror!.status()[0]!.sent).toBe(3)
})

test('a bridge passes a later expiry on that came without being marked as a renewal, as a comparison sends it', async () => {
  const [from, bridge, to] = await nodes(3, { now: () => noonMs })
  bridge!.mirrorTo([to!.url], { isBridge: true })
  await from!.db.put('c', 'k', json(1, noonMs + 5000))
  const mirror = from!.mirrorTo([bridge!.url])
  await until(async () => (await to!.db.get('c', 'k')) !== null, 'it is passed on')
  await mirror.stop()
  await from!.db.touch({ collection: 'c', key: 'k' }, noonMs + 9000)
  const lines: string[] = []
  for await (const line of new Kvist(from!.url).nodes.comparison.entries([{ collection: 'c', key: 'k' }]))
    lines.push(line)
  await new Kvist(bridge!.url).nodes.replicate(lines.join('\n'), from!.db.nodeId)
  await settled(bridge!)
  await until(async () => (await to!.db.get('c', 'k'))!.expiresAtMs === noonMs + 9000, 'it is passed on too')
})

test('each node expires by itself, and a write or a renewal of the one survives the sweep of the other', async () => {
  const clock = { nowMs: noonMs }
  const [a, b] = await nodes(2, { now: () => clock.nowMs })
  a!.mirrorTo([b!.url])
  for (const key of ['written', 'renewed', 'left']) await a!.db.put('c', key, json(key, noonMs + 1000))
  await settled(a!)
  await a!.mirror!.stop()
  // The nodes are apart. One writes and renews before the expiry, the other sweeps after it.
  await b!.db.put('c', 'written', json('later'))
  await b!.db.touch({ collection: 'c', key: 'renewed' }, noonMs + 60_000)
  clock.nowMs = noonMs + 2000
  await stateOf(a!) // a reader of the feed sweeps what it would have seen
  expect((await stateOf(a!)).map((one) => (one as string[])[0])).toEqual(['expire', 'expire', 'expire'])
  a!.mirrorTo([b!.url], { isBridge: true })
  b!.mirrorTo([a!.url], { isBridge: true })
  await agreeing(a!, b!)
  for (const one of [a!, b!]) {
    expect(await one.db.get('c', 'written')).toMatchObject({ value: '"later"' })
    expect(await one.db.get('c', 'renewed')).toMatchObject({ expiresAtMs: noonMs + 60_000 })
    expect(await one.db.get('c', 'left')).toBeNull()
  }
})

test('what is not to be sent on is not, nor when its life is extended, by a bridge, or to a new target', async () => {
  const clock = { nowMs: noonMs }
  const [a, b] = await nodes(2, { now: () => clock.nowMs })
  const ref = { collection: 'c', key: 'here' }
  await a!.db.putUnmirrored(ref, json(1, noonMs + 5000))
  a!.mirrorTo([b!.url], { isBridge: true })
  await settled(a!)
  await a!.db.touch(ref, noonMs + 9000)
  await a!.db.putUnmirrored({ ...ref, key: 'gone' }, json(1))
  await a!.db.deleteUnmirrored({ ...ref, key: 'gone' })
  await a!.db.put('c', 'sent', json(1))
  await settled(a!)
  expect((await stateOf(b!)).map((one) => (one as [string, string, { key: string }])[2].key)).toEqual([
    'sent',
  ])
  expect(a!.mirror!.status()[0]!.sent).toBe(1)
})

test('without a bridge only what was written here is sent on; a chain of bridges passes everything', async () => {
  const [a, b, c] = await nodes(3)
  b!.mirrorTo([c!.url])
  await settled(b!)
  a!.mirrorTo([b!.url])
  await a!.db.put('c', 'k', json(1))
  await b!.db.put('c', 'own', json(1))
  await settled(a!, b!)
  await until(async () => (await c!.db.get('c', 'own')) !== null, 'what b wrote is there')
  expect(await c!.db.get('c', 'k')).toBeNull()
  await b!.mirror!.stop()
  b!.mirrorTo([c!.url], { isBridge: true })
  await a!.db.put('c', 'k', json(2))
  await until(async () => (await c!.db.get('c', 'k')) !== null, 'what a wrote is there')
  expect(await c!.db.get('c', 'k')).toMatchObject({ node: a!.db.nodeId })
})

test('a ring settles: a change goes around once, a renewal too', async () => {
  const clock = { nowMs: noonMs }
  const ring = await nodes(3, { now: () => clock.nowMs })
  for (const [i, one] of ring.entries()) one.mirrorTo([ring[(i + 1) % 3]!.url], { isBridge: true })
  for (const [i, one] of ring.entries()) await one.db.put('c', `k${i}`, json(i, noonMs + 1000))
  await agreeing(...ring)
  await ring[0]!.db.touch({ collection: 'c', key: 'k1' }, noonMs + 5000)
  await until(
    async () => (await ring[2]!.db.get('c', 'k1'))?.expiresAtMs === noonMs + 5000,
    'the last has it',
  )
  await settled(...ring)
  const sent = () => ring.map(({ mirror }) => mirror!.status()[0]!.sent)
  const before = sent()
  await Bun.sleep(50)
  expect(sent()).toEqual(before)
  for (const count of before) expect(count).toBeLessThan(10)
})

test('nodes that wrote the same member apart settle on the later write, and the lost one is reported', async () => {
  const clock = { nowMs: noonMs }
  const [a, b] = await nodes(2, { now: () => clock.nowMs })
  await a!.db.put('c', 'k', json('a'))
  clock.nowMs += 1
  await b!.db.put('c', 'k', json('b'))
  a!.mirrorTo([b!.url])
  b!.mirrorTo([a!.url])
  await settled(a!, b!)
  for (const one of [a!, b!]) expect(await one.db.get('c', 'k')).toMatchObject({ value: '"b"' })
  const count = [a!, b!].reduce((sum, one) => sum + one.mirror!.conflicts.count(), 0)
  expect(count).toBeGreaterThan(0)
  expect([...a!.warnings, ...b!.warnings].some((line) => line.includes('one version is lost'))).toBe(true)
  // Writes one after the other are no conflicts.
  await a!.db.put('c', 'turns', json(1))
  await settled(a!)
  await b!.db.put('c', 'turns', json(2))
  await settled(b!)
  expect([a!, b!].reduce((sum, one) => sum + one.mirror!.conflicts.count(), 0)).toBe(count)
})

test('the version that was lost is listed, where it was noticed, and nowhere a write that knew of the other', async () => {
  const clock = { nowMs: noonMs }
  const [a, b] = await nodes(2, { now: () => clock.nowMs })
  const conflictsOf = async ({ url }: TestNode) => (await new Kvist(url).nodes.conflicts()).conflicts
  await a!.db.put('c', 'k', { ...json('a'), value: '{"a":1.0}' })
  clock.nowMs += 1000
  await b!.db.put('c', 'k', json('b'))
  a!.mirrorTo([b!.url])
  await settled(a!)
  const [late, ...others] = await conflictsOf(b!)
  expect([late, others]).toMatchObject([
    {
      collection: 'c',
      key: 'k',
      seen_at: '2026-06-01T12:00:01.000Z',
      lost: {
        type: 'put',
        origin: { node: a!.db.nodeId },
        written_at: '2026-06-01T12:00:00.000Z',
        revision: null,
        bytes: 9,
        value: { a: 1 },
      },
      kept: { origin: { node: b!.db.nodeId }, written_at: '2026-06-01T12:00:01.000Z' },
    },
    [],
  ])
  expect(await (await fetch(`${b!.url}/v1/_conflicts`)).text()).toContain('"value":{"a":1.0}')
  b!.mirrorTo([a!.url])
  await settled(b!)
  expect(await conflictsOf(a!)).toEqual([])
  expect(await conflictsOf(b!)).toHaveLength(1)
  clock.nowMs += 1000
  await a!.db.put('c', 'k', json('turn'))
  await settled(a!)
  await b!.db.put('c', 'k', json('and turn'))
  await settled(b!)
  expect(await conflictsOf(a!)).toEqual([])
  expect(await conflictsOf(b!)).toHaveLength(1)
})

/** The conflicts that a node has noticed. */
async function noticed({ db }: TestNode): Promise<string[]> {
  const { conflicts } = await db.conflicts({ collection: null, before: null, limit: 100 })
  return conflicts.map(({ key, lost }) => `${key} ${lost.node}`)
}

test('what a node passed on it knew: in a chain its own writes over that are no conflicts', async () => {
  const [a, b, c] = await nodes(3)
  c!.mirrorTo([a!.url])
  a!.mirrorTo([b!.url], { isBridge: true })
  const known = async (node: TestNode, key: string, value: string) =>
    until(async () => (await node.db.get('c', key))?.value === JSON.stringify(value), `it has ${value}`)
  for (let i = 0; i < 5; i++) {
    await c!.db.put('c', `k${i}`, json('c'))
    await known(b!, `k${i}`, 'c')
    await a!.db.put('c', `k${i}`, json('a'))
    await known(b!, `k${i}`, 'a')
  }
  for (const node of [a!, b!, c!]) expect(await noticed(node)).toEqual([])
  // c never got what a wrote: its next write is one that did not know of it.
  await c!.db.put('c', 'k0', json('again'))
  await known(a!, 'k0', 'again')
  expect(await noticed(a!)).toEqual([`k0 ${a!.db.nodeId}`])
})

test('in a ring in which each writes what the one before has written there are no conflicts, also after a restart', async () => {
  const ring = await nodes(3)
  const link = () => {
    for (const [i, one] of ring.entries()) one.mirrorTo([ring[(i + 1) % 3]!.url], { isBridge: true })
  }
  link()
  for (let round = 0; round < 9; round++) {
    const writer = ring[(round * 2) % 3]!
    for (const key of ['one', 'two']) await writer.db.put('c', key, json(`${round}`))
    await agreeing(...ring)
    await settled(...ring)
    if (round % 3 !== 2) continue
    for (const one of ring) await one.mirror!.stop()
    link()
  }
  for (const one of ring) expect(await noticed(one)).toEqual([])
  // Apart, two of them write: the version that is lost is noticed.
  for (const one of ring) await one.mirror!.stop()
  await ring[0]!.db.put('c', 'one', json('apart'))
  await ring[1]!.db.put('c', 'one', json('too'))
  link()
  await agreeing(...ring)
  const all = (await Promise.all(ring.map(noticed))).flat()
  const winner = (await ring[0]!.db.get('c', 'one'))!.value === '"apart"' ? ring[0]! : ring[1]!
  const loser = winner === ring[0] ? ring[1]! : ring[0]!
  expect(all).toEqual(all.map(() => `one ${loser.db.nodeId}`))
  expect(all.length).toBeGreaterThan(0)
})

test('a batch that is sent again after its response was lost makes no conflict of what was written since', async () => {
  const [from, to] = await nodes(2)
  const real = httpTarget(new Kvist(to!.url), from!.db.nodeId)
  let isLost = true
  from!.mirrorTo([
    {
      url: to!.url,
      async send(lines, signal, knows) {
        const received = await real.send(lines, signal, knows)
        if (!isLost) return received
        isLost = false
        await to!.db.put('c', 'k', json('newer'))
        throw new Error('the response is lost')
      },
    },
  ])
  await from!.db.put('c', 'k', json('older'))
  await settled(from!)
  expect(await to!.db.get('c', 'k')).toMatchObject({ value: '"newer"' })
  expect(await noticed(to!)).toEqual([])
})

test.each([
  ['collection=_tokens', 'invalid_collection'],
  ['collection=', 'invalid_collection'],
  ['limit=0', 'invalid_parameter'],
  ['limit=10001', 'invalid_parameter'],
  ['cursor=abc', 'invalid_cursor'],
  ['key=k', 'invalid_parameter'],
])('GET /v1/_conflicts?%s is %s', async (query, code) => {
  const { url } = await node()
  const response = await fetch(`${url}/v1/_conflicts?${query}`)
  expect([response.status, await response.json()]).toMatchObject([400, { code }])
})

test('pages of conflicts name the next one, which goes with its question', async () => {
  const { url, db } = await node({ now: () => noonMs })
  for (let i = 0; i < 5; i++) await db.put('c', `k${i}`, json(i))
  const origin = { node: 'n1', clock: msToStamp(noonMs + 1000) }
  const put = {
    op: 'put',
    collection: 'c',
    origin,
    value: 9,
    created_at: '2026-01-01T00:00:00Z',
    expires_at: null,
  }
  const lines = Array.from({ length: 5 }, (_, i) => `${JSON.stringify({ ...put, key: `k${i}` })}\n`).join('')
  const { nodes: of } = new Kvist(url)
  await of.replicate(lines, 'n1')
  const first = await of.conflicts({ collection: 'c', limit: 3 })
  const cursor = first.next!
  const second = await of.conflicts({ collection: 'c', limit: 3, cursor })
  expect([...first.conflicts, ...second.conflicts].map(({ key }) => key)).toEqual([
    'k4',
    'k3',
    'k2',
    'k1',
    'k0',
  ])
  expect([first.unlisted, second.next]).toEqual([0, null])
  await expect(of.conflicts({ cursor })).rejects.toMatchObject({ code: 'invalid_cursor' })
  const response = await fetch(`${url}/v1/_conflicts?limit=3&collection=c`)
  expect(response.headers.get('link')).toBe(
    `</v1/_conflicts?limit=3&collection=c&cursor=${cursor}>; rel="next"`,
  )
})

test('a clock that is ahead is refused as far as the bound says, and nothing is lost meanwhile', async () => {
  const [ahead, strict, lenient] = [
    await node({ now: () => noonMs + 3_600_000 }),
    await node({ now: () => clock.nowMs }),
    await node({ now: () => noonMs, maxClockAheadMs: 7_200_000 }),
  ]
  const clock = { nowMs: noonMs }
  await ahead.db.put('c', 'k', json(1))
  ahead.mirrorTo([strict.url, lenient.url])
  await until(() => ahead.mirror!.status()[1]!.state === 'current', 'the lenient one has it')
  await until(() => ahead.mirror!.status()[0]!.failures > 2, 'the strict one refuses')
  expect(ahead.mirror!.status()[0]!.lastError!.detail).toContain('3600 s ahead')
  clock.nowMs = noonMs + 3_600_000
  await settled(ahead)
  expect(await strict.db.get('c', 'k')).toMatchObject({ clock: msToStamp(noonMs + 3_600_000) })
  // The node behind writes after it: its clock has observed the stamp, so its write is the newer one.
  await lenient.db.put('c', 'k', json(2))
  lenient.mirrorTo([ahead.url])
  await settled(lenient)
  expect(await ahead.db.get('c', 'k')).toMatchObject({ value: '2' })
})

test('only the collections that are asked for are sent, with their settings; tokens only if asked for', async () => {
  const [from, some, all] = await nodes(3)
  await from!.db.put('users', 'k', json(1))
  await from!.db.put('logs', 'k', json(1))
  for (const of of ['users', 'logs']) await from!.db.setSettings(of, { ...noSettings, maxMembers: 5 })
  const { text } = await from!.tokens.create(
    {
      name: 't',
      grants: [{ collections: '*', keyPrefix: '', can: ['read'] }],
      subject: null,
      rate: null,
      expiresAtMs: null,
    },
    noonMs,
  )
  from!.mirrorTo([some!.url], { only: ['us*'] })
  await settled(from!)
  expect((await some!.db.collections('own')).map(({ name }) => name)).toEqual([
    '_settings',
    '_sources',
    'users',
  ])
  expect([some!.db.settings('users').maxMembers, some!.db.settings('logs').maxMembers]).toEqual([5, null])
  await from!.mirror!.stop()
  from!.mirrorTo([all!.url], { tokens: true })
  await settled(from!)
  expect(text).not.toBeNull()
  expect(all!.tokens.list().map(({ name }) => name)).toEqual(['t'])
})

test('a token that grants replicate is enough, on its collections only, and tokens need more', async () => {
  const secured = await node({ token: 'root-token' })
  const grants = [{ collections: 'c*', keyPrefix: '', can: ['replicate' as const] }]
  const { text } = await secured.tokens.create(
    { name: 'n', grants, subject: null, rate: null, expiresAtMs: null },
    Date.now(),
  )
  const kvist = new Kvist(secured.url, { token: text! })
  const origin = '"origin":{"node":"n1","clock":100}'
  const line = (collection: string, key = 'k') =>
    `{"op":"delete","collection":"${collection}","key":"${key}",${origin}}\n`
  const summary = await kvist.nodes.replicate(
    line('c1') + line('other') + line('_settings', 'c1') + line('_settings', 'other') + line('_tokens'),
    'n1',
  )
  expect(summary).toMatchObject({ node: secured.db.nodeId, applied: 2, superseded: 0 })
  expect(summary.failed.map(({ line, code }) => [line, code])).toEqual([
    [2, 'forbidden'],
    [4, 'forbidden'],
    [5, 'forbidden'],
  ])
  await expect(kvist.nodes.status()).rejects.toMatchObject({ code: 'forbidden' })
  await expect(new Kvist(secured.url).nodes.replicate('', 'n1')).rejects.toMatchObject({
    code: 'unauthorized',
  })
})

test.each([
  ['{', 'invalid_json'],
  ['[]', 'invalid_json'],
  ['{"op":"touch"}', 'invalid_collection'],
  ['{"op":"touch","collection":"c","key":"k","origin":{"node":"a","clock":1}}', 'invalid_request'],
  [
    '{"op":"put","collection":"c","key":"k","origin":{"node":"a","clock":1},"value":1,"expires_at":null}',
    'invalid_request',
  ],
  [
    '{"op":"put","collection":"c","key":"k","origin":{"node":"a","clock":1},"value":1,"created_at":"2026-01-01T00:00:00Z"}',
    'invalid_request',
  ],
  [
    '{"op":"put","collection":"c","key":"k","origin":{"node":"a","clock":1},"expires_at":null}',
    'invalid_request',
  ],
  ['{"op":"delete","collection":"_mirrors","key":"k","origin":{"node":"a","clock":1}}', 'invalid_collection'],
  ['{"op":"delete","collection":"c","key":"","origin":{"node":"a","clock":1}}', 'invalid_key'],
  ['{"op":"delete","collection":"c","key":"k"}', 'invalid_request'],
  ['{"op":"delete","collection":"c","key":"k","origin":{"node":"A!","clock":1}}', 'unprocessable'],
  ['{"op":"delete","collection":"c","key":"k","origin":{"node":"a","clock":-1}}', 'unprocessable'],
  ['{"op":"delete","collection":"c","key":"k","value":1,"origin":{"node":"a","clock":1}}', 'invalid_request'],
])('%s is refused with %s, and named; other lines are applied', async (bad, code) => {
  const { url, db } = await node()
  const good = '{"op":"delete","collection":"c","key":"good","origin":{"node":"n1","clock":100}}'
  const summary = await new Kvist(url).nodes.replicate(`${bad}\n${good}\n`, 'n1')
  expect(summary.failed).toMatchObject([{ line: 1, code }])
  expect([summary.applied, await db.removalCause('c', 'good')]).toEqual([1, 'delete'])
})

test('a target that fails, hangs or forgets comes up to date, and progress is kept over a restart of the mirror', async () => {
  const [from, to] = await nodes(2)
  const real = { faults: 3, batches: [] as number[] }
  const kvist = new Kvist(to!.url)
  const flaky: Target = {
    url: to!.url,
    async send(lines, signal) {
      if (real.faults-- > 0) {
        // Stored, but the response is lost: it is sent again, and does nothing the second time.
        await kvist.nodes.replicate(lines, from!.db.nodeId, { signal })
        throw new Error('the connection broke off')
      }
      real.batches.push(lines.split('\n').length - 1)
      return kvist.nodes.replicate(lines, from!.db.nodeId, { signal })
    },
  }
  for (let i = 0; i < 1200; i++) await from!.db.put('c', `k${i}`, json(i))
  from!.mirrorTo([flaky])
  await settled(from!)
  expect(await stateOf(to!)).toEqual(await stateOf(from!))
  expect(real.batches.reduce((sum, one) => sum + one, 0)).toBe(1200)
  expect(from!.mirror!.status()[0]).toMatchObject({
    failures: 3,
    lastError: { detail: 'the connection broke off' },
  })
  await from!.mirror!.stop()
  await from!.db.put('c', 'one more', json(1))
  real.batches = []
  from!.mirrorTo([flaky])
  await settled(from!)
  expect(real.batches).toEqual([1])
})

test.each(['500', '507', 'garbage', 'hang'] as const)(
  'a target whose response is %s gets everything in order once it works',
  async (fault) => {
    const [from, to] = await nodes(2)
    const state = { isFaulty: true, calls: 0 }
    const proxy = Bun.serve({
      port: 0,
      async fetch(request) {
        state.calls++
        if (!state.isFaulty) {
          const { pathname } = new URL(request.url)
          return fetch(to!.url + pathname, {
            method: request.method,
            headers: request.headers,
            body: await request.text(),
          })
        }
        if (fault === 'hang')
          await new Promise<void>((resolve) => request.signal.addEventListener('abort', () => resolve()))
        return new Response('not JSON', { status: fault === 'garbage' ? 200 : Number(fault) || 500 })
      },
    })
    try {
      const target = httpTarget(new Kvist(proxy.url.origin), from!.db.nodeId, fault === 'hang' ? 50 : 5000)
      from!.mirrorTo([target])
      for (let i = 0; i < 20; i++) await from!.db.put('c', 'k', json(i))
      await until(() => from!.mirror!.status()[0]!.failures > 1, 'it failed')
      const { state: shown, lagSeconds, lastError } = from!.mirror!.status()[0]!
      expect([shown, lagSeconds >= 0, lastError !== null]).toEqual(['retrying', true, true])
      state.isFaulty = false
      await settled(from!)
      expect(await stateOf(to!)).toEqual(await stateOf(from!))
    } finally {
      await proxy.stop(true)
    }
  },
)

test('a new target is filled while clients write', async () => {
  const [from, to] = await nodes(2)
  for (let i = 0; i < 3000; i++) await from!.db.put('c', `k${i}`, json(i))
  from!.mirrorTo([to!.url])
  for (let i = 0; i < 2000; i++) {
    if (i % 3 === 0) await from!.db.delete('c', `k${i}`)
    else await from!.db.put('c', `k${(i * 7) % 4000}`, json(-i))
    if (i % 100 === 0) await Bun.sleep(1)
  }
  await settled(from!)
  expect(await stateOf(to!)).toEqual(await stateOf(from!))
})

test('two emitters of one target: it has the latest of both', async () => {
  const [a, b, to] = await nodes(3)
  a!.mirrorTo([to!.url])
  b!.mirrorTo([to!.url])
  for (let i = 0; i < 50; i++) {
    await a!.db.put('c', `k${i % 7}`, json(`a${i}`))
    await b!.db.put('c', `k${i % 5}`, json(`b${i}`))
  }
  await settled(a!, b!)
  for (let i = 0; i < 7; i++) {
    const versions = await Promise.all(
      [a!, b!].map(async ({ db }) => ({ member: await db.get('c', `k${i}`), id: db.nodeId })),
    )
    const [latest] = versions
      .flatMap(({ member, id }) => (member === null ? [] : [{ ...member, id }]))
      .toSorted((one, other) => other.clock - one.clock || (one.id < other.id ? 1 : -1))
    expect(await to!.db.get('c', `k${i}`)).toMatchObject({ value: latest!.value, node: latest!.id })
  }
})

test('a copy of the same data folder is refused as a target, and another node at its address gets everything', async () => {
  const [from, to] = await nodes(2)
  await from!.db.put('c', 'k', json(1))
  let name = from!.db.nodeId
  let lines = 0
  const target: Target = {
    url: 'http://target',
    async send(sent) {
      lines += sent.split('\n').length - 1
      return { node: name, applied: 0, failed: [] }
    },
  }
  from!.mirrorTo([target])
  await until(() => from!.mirror!.status()[0]!.failures > 1, 'it is refused')
  expect(from!.mirror!.status()[0]!.lastError!.detail).toContain('--new-node-id')
  name = 'first'
  await settled(from!)
  name = to!.db.nodeId
  lines = 0
  await from!.db.put('c', 'l', json(1))
  await settled(from!)
  await until(() => from!.mirror!.status()[0]!.node === name, 'it is known')
  expect(lines).toBeGreaterThanOrEqual(3)
})

test('a target that gets nothing is checked: another node at its address gets everything, one that is away is shown', async () => {
  const [from, one, other] = await nodes(3)
  await from!.db.put('c', 'k', json(1))
  const at = { url: one!.url, isAway: false }
  const target: Target = {
    url: 'http://target',
    send(lines, signal) {
      if (at.isAway) throw new Error('it is away')
      return new Kvist(at.url).nodes.replicate(lines, from!.db.nodeId, { signal })
    },
  }
  let check = () => {}
  const sleep = (ms: number, aborted: AbortSignal) =>
    ms === checkEveryMs
      ? new Promise<void>((resolve) => {
          check = resolve
          aborted.addEventListener('abort', () => resolve())
        })
      : realSleep(2, aborted)
  const mirror = from!.mirrorTo([target], { sleep })
  const shown = () => mirror.status()[0]!
  await settled(from!)
  at.isAway = true
  await until(() => {
    check()
    return shown().failures > 2
  }, 'it is noticed')
  expect([shown().state, shown().lastError!.detail]).toEqual(['retrying', 'it is away'])
  Object.assign(at, { url: other!.url, isAway: false })
  await until(() => shown().node === other!.db.nodeId, 'the other is noticed')
  await settled(from!)
  expect(await stateOf(other!)).toEqual(await stateOf(from!))
  at.url = one!.url
  await until(() => {
    check()
    return shown().node === one!.db.nodeId
  }, 'the first is noticed')
})

/** Pauses whose checks of an idle target come when the test says so. */
function checkedPauses() {
  const due = new Set<() => void>()
  let begun = 0
  return {
    begun: () => begun,
    waiting: () => due.size,
    check() {
      for (const end of [...due]) end()
    },
    sleep(ms: number, aborted: AbortSignal): Promise<void> {
      if (ms !== checkEveryMs) return realSleep(2, aborted)
      begun++
      return new Promise((resolve) => {
        const end = () => {
          due.delete(end)
          resolve()
        }
        due.add(end)
        aborted.addEventListener('abort', end, { once: true })
      })
    },
  }
}

test('the check of a target is not put off by changes that are not for it', async () => {
  const [from, to] = await nodes(2)
  const pauses = checkedPauses()
  await from!.db.put('users', 'k', json(1))
  from!.mirrorTo([to!.url], { only: ['us*'], sleep: pauses.sleep })
  await settled(from!)
  await until(() => pauses.begun() > 0, 'it waits')
  const before = { begun: pauses.begun(), successMs: from!.mirror!.status()[0]!.lastSuccessMs! }
  for (let i = 0; i < 5; i++) {
    await from!.db.put('logs', `k${i}`, json(i))
    await Bun.sleep(10)
  }
  expect(pauses.begun()).toBe(before.begun)
  pauses.check()
  await until(() => from!.mirror!.status()[0]!.lastSuccessMs! > before.successMs, 'it is checked')
})

test('two nodes that mirror to each other write nothing more once they have the same, however often they are checked', async () => {
  const timers = [manualTimers(), manualTimers()]
  const [a, b] = await Promise.all(timers.map((own) => node({ timers: own })))
  const pauses = checkedPauses()
  a!.mirrorTo([b!.url], { sleep: pauses.sleep })
  b!.mirrorTo([a!.url], { sleep: pauses.sleep })
  for (const one of [a!, b!]) await one.db.put('c', one.db.nodeId, json(1))
  const ends = () =>
    Promise.all(
      [a!, b!].map(async ({ db }) => {
        const scope = { collection: null, key: null, prefix: null, filter: null, own: true as const }
        return (await db.changes(scope, '', 1000)).next
      }),
    )
  await agreeing(a!, b!)
  const seen: string[] = []
  for (let i = 0; i < 12; i++) {
    await until(() => pauses.waiting() === 2, 'both wait')
    pauses.check()
    await settled(a!, b!)
    for (const one of timers) one.pass(2000)
    seen.push(JSON.stringify(await ends()))
  }
  expect(seen.slice(-4)).toEqual(Array<string>(4).fill(seen.at(-1)!))
})

test('a mirror whose progress cannot be stored, as on a full disk, goes on, and stores it when it can', async () => {
  const clock = { nowMs: noonMs }
  const [from, to] = await nodes(2, { now: () => clock.nowMs })
  const { write } = from!.db
  Object.assign(from!.db, {
    async write() {
      throw new KvistError('storage_full', 'the disk is full')
    },
  })
  from!.mirrorTo([to!.url])
  for (const key of ['a', 'b', 'c']) {
    clock.nowMs += 2000
    await from!.db.put('c', key, json(1))
    await until(async () => (await to!.db.get('c', key)) !== null, `${key} is there`)
  }
  await settled(from!)
  expect(from!.mirror!.status()[0]).toMatchObject({ state: 'current', failures: 0, lastError: null })
  expect(from!.warnings.filter((line) => line.includes('cannot be stored'))).toHaveLength(1)
  Object.assign(from!.db, { write })
  clock.nowMs += 2000
  await from!.db.put('c', 'd', json(1))
  await until(async () => (await from!.db.get('_mirrors', to!.url)) !== null, 'it is stored')
})

test('a mirror that is stopped while a batch is under way comes to an end', async () => {
  const from = await node({ now: () => noonMs })
  const responses: (() => void)[] = []
  const target: Target = {
    url: 'http://target',
    async send() {
      await new Promise<void>((resolve) => responses.push(resolve))
      return { node: 'another', applied: 0, failed: [] }
    },
  }
  const mirror = from.mirrorTo([target])
  // The first is stored as progress, a commit that would wake the mirror.
  for (const count of [1, 2]) {
    await from.db.put('c', 'k', json(count))
    await until(() => responses.length === count, 'the batch is under way')
    if (count === 1) responses[0]!()
  }
  const stopped = mirror.stop()
  responses[1]!()
  await stopped
  expect(mirror.status()[0]!.sent).toBe(2)
})

test('GET /v1/_nodes shows the targets', async () => {
  const [from, to] = await nodes(2)
  from!.mirrorTo([to!.url])
  await from!.db.put('c', 'k', json(1))
  await settled(from!)
  expect(await new Kvist(from!.url).nodes.status()).toEqual({
    node: from!.db.nodeId,
    conflicts: 0,
    targets: [
      {
        url: to!.url,
        state: 'current',
        node: to!.db.nodeId,
        lag_changes: 0,
        lag_seconds: 0,
        sent: 1,
        failures: 0,
        last_error: null,
        last_success_at: expect.any(String),
        setbacks: 0,
        heal: null,
      },
    ],
    role: 'leader',
    term: 0,
    leader: null,
    followers: [],
  })
  expect(await new Kvist(to!.url).nodes.status()).toMatchObject({ targets: [] })
})
