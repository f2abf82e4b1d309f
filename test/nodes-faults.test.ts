import { afterEach, expect, test } from 'bun:test'
import { createServer, type Socket } from 'node:net'
import { Kvist } from '../sdk/client.ts'
import { httpTarget } from '../src/replication/http-target.ts'
import type { Target } from '../src/replication/peer.ts'
import { until } from './support/engine.ts'
import { type Direction, type FaultProxy, type Flow, faultProxy } from './support/fault-proxy.ts'
import { startNode, type TestNode } from './support/nodes.ts'

/** Lines between nodes that fail, and targets that respond with nonsense or not at all, on sockets of this machine. */

const running: { stop(): Promise<void> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

/** How long an attempt may take. */
const timeoutMs = 100

async function node(): Promise<TestNode> {
  const started = await startNode()
  running.push(started)
  return started
}

async function proxyTo(to: TestNode): Promise<FaultProxy> {
  const proxy = await faultProxy(Number(new URL(to.url).port))
  running.push(proxy)
  return proxy
}

function targetOf(from: TestNode, url: string): Target {
  return httpTarget(new Kvist(url), from.db.nodeId, timeoutMs)
}

async function write(to: TestNode, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    if (i % 7 === 3) await to.db.delete('c', `k${(i * 5) % 40}`)
    else await to.db.put('c', `k${i % 40}`, { ...content, value: JSON.stringify('x'.repeat(i)) })
  }
}

const content = { contentType: 'application/json', flags: 0, expiresAtMs: null }

async function membersOf({ db }: TestNode): Promise<unknown[]> {
  const page = await db.changes({ collection: 'c', key: null, prefix: null, filter: null }, '', 1000)
  return page.events
    .map(({ change }) => {
      const version = change.type === 'put' ? change.member : change.tombstone
      const { revision: _, node: by, ...rest } = { removedClock: 0, ...version }
      return { type: change.type, ...rest, removedClock: 0, node: by || db.nodeId }
    })
    .toSorted((a, b) => (a.key < b.key ? -1 : 1))
}

async function expectSame(...nodes: readonly TestNode[]): Promise<void> {
  await until(async () => {
    const all = await Promise.all(nodes.map(membersOf))
    return all.every((one) => Bun.deepEquals(one, all[0]))
  }, 'all have the same')
}

const flows: readonly (readonly [string, Flow])[] = [
  ['bytes that vanish', 'vanish'],
  ['bytes that wait', 'stall'],
  ['bytes that come too slowly', { delayMs: 40, bytes: 20 }],
]
const directions: readonly (readonly [string, Direction | undefined])[] = [
  ['in both directions', undefined],
  ['on the way to the target', 'up'],
  ['on the way back', 'down'],
]

test.each(
  flows.flatMap(([what, flow]) => directions.map(([where, direction]) => ({ what, where, flow, direction }))),
)('$what $where: nothing is lost, and all is there when the line is better', async ({ flow, direction }) => {
  const [from, to] = [await node(), await node()]
  const proxy = await proxyTo(to)
  from.mirrorTo([targetOf(from, proxy.url)])
  await write(from, 60)
  await expectSame(from, to)
  proxy.set(flow, direction)
  await write(from, 120)
  await until(() => from.mirror!.status()[0]!.failures > 1, 'it was given up and tried again')
  expect(from.mirror!.status()[0]).toMatchObject({
    state: 'retrying',
    lastError: { detail: expect.any(String) },
  })
  await write(from, 80)
  proxy.heal()
  await expectSame(from, to)
})

test('connections that are reset, refused, or cut in the middle of a batch or a response cost nothing but time', async () => {
  const [from, to] = [await node(), await node()]
  const proxy = await proxyTo(to)
  from.mirrorTo([targetOf(from, proxy.url)])
  for (const bytes of [1, 200, 900, 5000]) {
    proxy.cutAfter(bytes)
    const { failures } = from.mirror!.status()[0]!
    await write(from, 120)
    await until(() => from.mirror!.status()[0]!.failures > failures + 1, `it breaks off after ${bytes} bytes`)
    proxy.heal()
    await expectSame(from, to)
  }
  const { failures } = from.mirror!.status()[0]!
  proxy.refuse(true)
  proxy.reset()
  await write(from, 50)
  await until(() => from.mirror!.status()[0]!.failures > failures, 'it is refused')
  proxy.heal()
  await expectSame(from, to)
})

test('two nodes that write while the line between them is cut end up the same, deletes included', async () => {
  const [a, b] = [await node(), await node()]
  const [toA, toB] = [await proxyTo(a), await proxyTo(b)]
  a.mirrorTo([targetOf(a, toB.url)])
  b.mirrorTo([targetOf(b, toA.url)])
  for (const [up, down] of [
    [toA, toB],
    [toB, toA],
  ] as const) {
    up.set('vanish')
    await write(a, 90)
    await write(b, 70)
    await a.db.put('c', 'both', { ...content, value: '"a"' })
    await b.db.put('c', 'both', { ...content, value: '"b"' })
    down.set('stall', 'down')
    await Bun.sleep(5) // of two writes in one millisecond the later count wins
    await b.db.delete('c', 'k1')
    await until(() => [a, b].some(({ mirror }) => mirror!.status()[0]!.failures > 0), 'one fails')
    up.heal()
    down.heal()
    await expectSame(a, b)
    expect(await a.db.get('c', 'k1')).toBeNull()
  }
})

/** What a target does with a connection instead of what it should. */
const misbehaviors: Readonly<Record<string, (socket: Socket) => void>> = {
  'accepts and never responds': () => {},
  'closes at once': (socket) => socket.destroy(),
  'sends a head and then nothing': (socket) =>
    socket.write('HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 90\r\n\r\n'),
  'closes in the middle of its response': (socket) =>
    socket.end('HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 90\r\n\r\n{"node":'),
  'does not speak HTTP': (socket) => socket.end('220 mail.example.org ESMTP\r\n'),
  'responds 500': (socket) => socket.end('HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n'),
  'responds 401': (socket) => socket.end('HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n'),
  'responds 204': (socket) => socket.end('HTTP/1.1 204 Done\r\n\r\n'),
  'redirects to itself': (socket) =>
    socket.end('HTTP/1.1 307 There\r\nLocation: /v1/_replicate\r\nContent-Length: 0\r\n\r\n'),
  'responds with HTML': (socket) => socket.end(ok('<html>')),
  ...Object.fromEntries(
    [
      'null',
      '[]',
      '{}',
      '{"failed":[]}',
      '{"node":7,"failed":[]}',
      '{"node":"another"}',
      '{"node":"another","failed":{}}',
      '{"node":"another","failed":[null]}',
    ].map((json) => [`responds with ${json}`, (socket: Socket) => socket.end(ok(json))]),
  ),
}

function ok(text: string): string {
  return `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${text.length}\r\n\r\n${text}`
}

test.each(Object.entries(misbehaviors))(
  'a target that %s is tried again, and gets all of it',
  async (_name, misbehave) => {
    const [from, to] = [await node(), await node()]
    const bad = createServer((socket) => {
      socket.on('error', () => {})
      socket.once('data', () => misbehave(socket))
    })
    await new Promise<void>((resolve) => bad.listen(0, '127.0.0.1', resolve))
    running.push({ stop: async () => void bad.close() })
    const proxy = await proxyTo(to)
    const address = bad.address()
    proxy.pointTo(address === null || typeof address === 'string' ? 0 : address.port)
    from.mirrorTo([targetOf(from, proxy.url)])
    await write(from, 30)
    await until(() => from.mirror!.status()[0]!.failures > 1, 'it fails')
    const { sent, node: of, lastError } = from.mirror!.status()[0]!
    expect([sent, of, typeof lastError?.detail]).toEqual([0, null, 'string'])
    proxy.pointTo(Number(new URL(to.url).port))
    proxy.reset()
    await expectSame(from, to)
  },
)
