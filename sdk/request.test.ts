import { afterEach, expect, test } from 'bun:test'
import { createServer, type Server, type Socket } from 'node:net'
import { until } from '../test/support/engine.ts'
import {
  type Collection,
  Kvist,
  KvistHttpError,
  KvistNotFoundError,
  KvistPreconditionError,
  KvistTimeoutError,
  KvistUnreachableError,
} from './client.ts'

/** What becomes of a call when the response is late, lost or a refusal: tries, time limits, aborts. */

type ScriptedResponse = Response | 'lost' | 'silence'

let server: Server | undefined
const sockets = new Set<Socket>()
afterEach(() => {
  for (const socket of sockets) socket.destroy()
  server?.close()
})

interface Scripted {
  readonly collection: Collection<unknown>
  readonly kvist: Kvist
  /** Method and path of what arrived. */
  readonly asked: string[]
}

/** A server that gives these responses, one after the other, and then the last one again and again. */
async function responding(responses: readonly ScriptedResponse[], options = {}): Promise<Scripted> {
  const asked: string[] = []
  const listening = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('data', async (part) => {
      const line = /^([A-Z]+ \S+) HTTP/.exec(part.toString('latin1'))?.[1]
      if (line === undefined) return // the rest of a body
      asked.push(line)
      const response = responses[Math.min(asked.length, responses.length) - 1]
      if (response === 'lost') socket.destroy()
      if (!(response instanceof Response)) return
      const body = await response.clone().text()
      const headers = [...response.headers].map(([name, value]) => `${name}: ${value}\r\n`).join('')
      socket.write(`HTTP/1.1 ${response.status} X\r\n${headers}content-length: ${body.length}\r\n\r\n${body}`)
    })
  })
  server = listening
  await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve))
  const address = listening.address()
  const port = typeof address === 'object' ? address?.port : undefined
  const kvist = new Kvist(`http://127.0.0.1:${port}`, options)
  return { kvist, collection: kvist.collection('c'), asked }
}

/** Of a write of any kind. */
const stored = Response.json({ key: 'k', revision: 1, revisions: [], values: [] })
const value = new Response('1', {
  headers: { 'content-type': 'application/json', etag: '"1"', 'last-modified': new Date(0).toUTCString() },
})
const page = Response.json({ members: [], next: null })
const refused = (status: number, code: string, headers = {}) =>
  Response.json({ code, detail: code, status }, { status, headers })
const closing = refused(503, 'closing', { 'retry-after': '0' })
const busy = refused(503, 'busy', { 'retry-after': '0' })
const tooMany = refused(429, 'rate_limited', { 'retry-after': '0' })
const failed = refused(503, 'storage_failed', { 'retry-after': '0' })

type Do = (one: Scripted) => Promise<unknown>
const idempotent: [name: string, call: Do, response: Response][] = [
  ['get', ({ collection }) => collection.get('k'), value],
  ['getText', ({ collection }) => collection.getText('k'), value],
  ['getRaw', ({ collection }) => collection.getRaw('k'), value],
  ['head', ({ collection }) => collection.head('k'), new Response(null, { headers: value.headers })],
  ['page', ({ collection }) => collection.page(), page],
  ['lines', ({ collection }) => collection.lines(), page],
  ['put', ({ collection }) => collection.put('k', 1), stored],
  ['touch', ({ collection }) => collection.touch('k', { expireIn: 1 }), stored],
  ['patch that is a touch', ({ collection }) => collection.patch('k', {}, { expireIn: 1 }), stored],
  ['getMany', ({ collection }) => collection.getMany(['k']), Response.json({ members: [null] })],
  ['delete', ({ collection }) => collection.delete('k'), new Response(null, { status: 204 })],
  ['importLines', ({ collection }) => collection.importLines('{}'), Response.json({ stored: 1, failed: [] })],
  ['setSettings', ({ collection }) => collection.setSettings({}), Response.json({})],
  ['changesPage', ({ kvist }) => kvist.changesPage(), Response.json({ changes: [], next: 1 })],
  ['collections', ({ kvist }) => kvist.collections().next(), Response.json({ collections: [], next: null })],
]
const ifRejected: [name: string, call: Do][] = [
  ['put if it has a revision', ({ collection }) => collection.put('k', 1, { ifRevision: 1 })],
  ['put if it is there', ({ collection }) => collection.put('k', 1, { ifRevision: 'any' })],
  ['put if it is not there', ({ collection }) => collection.put('k', 1, { create: true })],
  ['delete if it has a revision', ({ collection }) => collection.delete('k', { ifRevision: 1 })],
  ['patch', ({ collection }) => collection.patch('k', {})],
  ['jsonPatch', ({ collection }) => collection.jsonPatch('k', [])],
  ['increment', ({ collection }) => collection.increment('k')],
  ['add', ({ collection }) => collection.add(1)],
  ['batch', ({ kvist }) => kvist.batch({})],
  ['touch if it has a revision', ({ collection }) => collection.touch('k', { expireIn: 1, ifRevision: 1 })],
]

test.each(idempotent)('%s is sent again when its outcome is unknown', async (_name, call, response) => {
  const one = await responding(['lost', failed, response])
  await call(one)
  expect(one.asked.length).toBe(3)
  expect(new Set(one.asked).size).toBe(1)
})

test.each(ifRejected)('%s is sent again when the server did nothing, and only then', async (_name, call) => {
  const refusing = await responding([busy, closing, tooMany, stored])
  await call(refusing)
  expect(refusing.asked.length).toBe(4)

  const losing = await responding(['lost', stored])
  await expect(call(losing)).rejects.toBeInstanceOf(KvistUnreachableError)
  const failing = await responding([failed, stored])
  await expect(call(failing)).rejects.toMatchObject({ code: 'storage_failed' })
  expect([losing.asked.length, failing.asked.length]).toEqual([1, 1])
})

test('a drop is not sent again once it has arrived: what was written since is not meant', async () => {
  for (const response of [busy, 'lost'] as const) {
    const one = await responding([response, Response.json({ deleted: 1 })])
    await expect(one.collection.drop()).rejects.toThrow()
    expect(one.asked.length).toBe(1)
  }
})

test('everything waits for a server that is not there yet', async () => {
  const { kvist, asked } = await responding([stored])
  const { port } = new URL(kvist.url)
  server?.close()
  const calls = [...ifRejected, ['drop', ({ collection }: Scripted) => collection.drop()] as const]
  const all = Promise.all(calls.map(([, call]) => call({ kvist, collection: kvist.collection('c'), asked })))
  await Bun.sleep(150)
  const listening = server as Server
  await new Promise<void>((resolve) => listening.listen(Number(port), '127.0.0.1', resolve))
  await all
  expect(asked.length).toBe(calls.length)
})

test('in the end the last error is thrown', async () => {
  const losing = await responding(['lost'], { retries: 2 })
  const error = await losing.collection.get('k').catch((error: unknown) => error)
  expect(error).toBeInstanceOf(KvistUnreachableError)
  expect(error).toMatchObject({ code: 'unreachable', status: null, url: losing.kvist.url })
  expect(losing.asked.length).toBe(3)
  const refusing = await responding([closing], { retries: 2 })
  await expect(refusing.collection.increment('k')).rejects.toMatchObject({ status: 503, code: 'closing' })
  expect(refusing.asked.length).toBe(3)
  const once = await responding(['lost'])
  await once.collection.get('k', { retries: 0 }).catch(() => {})
  expect(once.asked.length).toBe(1)
})

test('a refusal is final', async () => {
  for (const [status, code, type] of [
    [400, 'invalid_key', KvistHttpError],
    [401, 'unauthorized', KvistHttpError],
    [412, 'precondition_failed', KvistPreconditionError],
    [500, 'internal', KvistHttpError],
    [507, 'storage_full', KvistHttpError],
  ] as const) {
    const one = await responding([refused(status, code), value])
    const error = await one.collection.get('k').catch((error: unknown) => error)
    expect(error).toBeInstanceOf(type)
    expect(error).toMatchObject({ status, code })
    expect(one.asked.length).toBe(1)
  }
  const patient = await responding([refused(503, 'busy', { 'retry-after': '3600' }), value])
  expect(await patient.collection.get('k').catch((error: unknown) => error)).toMatchObject({
    retryAfterSeconds: 3600,
  })
})

test('the pause that the server asks for is kept', async () => {
  const { collection } = await responding([refused(503, 'closing', { 'retry-after': '1' }), stored])
  const startedMs = performance.now()
  await collection.increment('k')
  expect(performance.now() - startedMs).toBeGreaterThanOrEqual(990)
})

test('nothing is waited for longer than its time, in each try', async () => {
  let tries = 0
  const counting = (...[url, init]: Parameters<typeof fetch>) => {
    tries++
    return fetch(url, init)
  }
  const silent = await responding(['silence'], { timeoutMs: 100, retries: 1, fetch: counting })
  const error = await silent.collection.get('k').catch((error: unknown) => error)
  expect(error).toBeInstanceOf(KvistTimeoutError)
  expect(error).toMatchObject({ code: 'timeout', timeoutMs: 100, url: silent.kvist.url })
  expect(tries).toBe(2)
  await expect(silent.collection.increment('k')).rejects.toBeInstanceOf(KvistTimeoutError)
  expect(tries).toBe(3)

  const recovered = await responding(['silence', value], { timeoutMs: 5 })
  expect((await recovered.collection.get('k', { timeoutMs: 200 }))?.value).toBe(1)
})

test('a body that stops in the middle is too late, or broken off', async () => {
  using half = Bun.serve({
    port: 0,
    fetch: ({ url }) =>
      new Response(
        new ReadableStream({
          start(controller) {
            controller.enqueue('{"key":"a","value":1}\n')
            if (url.endsWith('/broken/k')) setTimeout(() => controller.error(new Error()), 20)
          },
        }),
        { headers: value.headers },
      ),
    error: () => new Response(),
  })
  const kvist = new Kvist(half.url.origin, { timeoutMs: 100, retries: 0 })
  await expect(kvist.collection('slow').get('k')).rejects.toBeInstanceOf(KvistTimeoutError)
  const patient = new Kvist(half.url.origin, { retries: 0 })
  await expect(patient.collection('broken').get('k')).rejects.toBeInstanceOf(KvistUnreachableError)
  const read = async () => {
    for await (const member of kvist.collection('slow').export())
      expect(member).toEqual({ key: 'a', value: 1 } as never)
  }
  await expect(read()).rejects.toBeInstanceOf(KvistTimeoutError)
})

test('a call that is aborted ends with the reason, whatever it waits for', async () => {
  const reason = new Error('enough')
  const silent = await responding(['silence'])
  const refusing = await responding([refused(503, 'busy', { 'retry-after': '20' })])
  for (const { collection, asked } of [silent, refusing]) {
    const controller = new AbortController()
    const call = collection.get('k', { signal: controller.signal }).catch((error: unknown) => error)
    await until(() => asked.length === 1, 'it is asked')
    // In the one case there is a response soon, after which it waits to ask again.
    await Bun.sleep(50)
    controller.abort(reason)
    expect(await call).toBe(reason)
    expect(await collection.get('k', { signal: controller.signal }).catch((error: unknown) => error)).toBe(
      reason,
    )
  }
  expect([silent.asked.length, refusing.asked.length]).toEqual([1, 1])
})

test("a response that is not kvist's is reported as such", async () => {
  const html = () => new Response('<html>', { headers: { 'content-type': 'text/html' } })
  const page = await responding([html()])
  expect(await page.kvist.collectionsPage().catch((error: unknown) => error)).toMatchObject({
    code: '',
    status: 200,
    detail: `what responds at ${page.kvist.url} is not kvist`,
  })
  const gateway = await responding([new Response('<html>', { status: 403 })])
  const error = await gateway.collection.get('k').catch((error: unknown) => error)
  expect(error).toMatchObject({
    status: 403,
    code: '',
    problem: null,
    detail: `what responds at ${gateway.kvist.url} is not kvist: 403 X`,
  })
  const nowhere = await responding([new Response('nothing here', { status: 404 })])
  await expect(nowhere.collection.get('k')).rejects.toMatchObject({ status: 404, code: '' })
  await expect(nowhere.collection.head('k')).rejects.toMatchObject({ status: 404, code: '' })
  const missing = await responding([refused(404, 'not_found')])
  await expect(missing.collection.jsonPatch('k', [])).rejects.toBeInstanceOf(KvistNotFoundError)
  expect(await missing.collection.get('k')).toBeNull()
})

test("another fetch can replace the runtime's", async () => {
  const asked: [string, string | undefined][] = []
  const kvist = new Kvist('http://nowhere.invalid', {
    token: 't',
    fetch: async (url, { method, headers }) => {
      asked.push([`${method} ${url}`, new Headers(headers).get('authorization') ?? undefined])
      return new Response(await stored.clone().text())
    },
  })
  await kvist.collection('c').put('k', 1)
  expect(asked).toEqual([['PUT http://nowhere.invalid/v1/c/k', 'Bearer t']])
})
