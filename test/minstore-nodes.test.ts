import { afterEach, describe, expect, test } from 'bun:test'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Kvist } from '../sdk/client.ts'
import { until } from './support/engine.ts'
import { freePorts } from './support/ports.ts'
import { sendRaw } from './support/raw.ts'
import { newFolder, startServer, type TestServer } from './support/server.ts'

/** minstore's nodes: three servers on three ports, each with its servers file, as `api.py SERVERS_LIST_PATH BASE_PATH [PORT]`. */

const folders: string[] = []
const running: TestServer[] = []
afterEach(async () => {
  for (const server of running.splice(0)) await server.remove()
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

interface Node extends TestServer {
  readonly kvist: Kvist
}

/**
 * Starts a server for each name. `lists` gives the lines of its servers file: other names, and `*`; none for a server without
 * a file.
 */
async function cluster<Name extends string>(
  lists: Record<Name, readonly string[] | null>,
  flags: readonly string[] = [],
): Promise<Record<Name, Node>> {
  const names = Object.keys(lists) as Name[]
  const ports = freePorts(names.length)
  const urlOf = (name: string) => `http://127.0.0.1:${ports[names.indexOf(name as Name)]}`
  const nodes = await Promise.all(
    names.map(async (name, i) => {
      const dataFolder = newFolder()
      folders.push(dataFolder)
      const list = lists[name]
      const path = join(dataFolder, 'servers.list')
      if (list !== null) {
        const lines = list.map((line) => (line in lists ? urlOf(line) : line))
        writeFileSync(path, lines.join('\r\n'))
      }
      const file = list === null ? [] : ['--servers', path]
      const all = ['--dialect', 'minstore', ...file, '--port', `${ports[i]}`, ...flags]
      const server = await startServer({ dataFolder: join(dataFolder, 'data'), flags: all })
      running.push(server)
      return [name, { ...server, kvist: new Kvist(server.url) }] as const
    }),
  )
  return Object.fromEntries(nodes) as Record<Name, Node>
}

const form = { 'content-type': 'application/x-www-form-urlencoded' }

/** Sends a request as a client of minstore does. */
async function ask(
  { url }: TestServer,
  line: string,
  fields: Record<string, string> | null = null,
): Promise<{ status: number; body: unknown; headers: Headers; text: string }> {
  const [method = '', path = ''] = line.split(' ')
  const body = fields === null ? {} : { body: new URLSearchParams(fields).toString(), headers: form }
  const response = await fetch(url + path, { method, ...body })
  const text = await response.text()
  const parsed: unknown = text === '' ? null : JSON.parse(text)
  return { status: response.status, body: parsed, headers: response.headers, text }
}

/** What a server holds itself, by its own API: it asks no other. */
async function held({ kvist }: Node, uid: string) {
  const { versions } = await kvist.nodes.lookup([{ collection: 'text', key: uid }], 1 << 20)
  const version = versions[0]
  return version?.type === 'put' ? (version.value_text ?? null) : (version?.type ?? null)
}

async function holds(node: Node, uid: string, value: string | null): Promise<void> {
  await until(async () => (await held(node, uid)) === value, `${node.url} holds ${value} as ${uid}`)
}

/** Waits until all that a server has to send is sent. */
async function sent(...nodes: readonly Node[]): Promise<void> {
  for (const { kvist } of nodes) {
    await until(async () => {
      const { targets } = await kvist.nodes.status()
      return targets.every(({ state, lag_changes: lag }) => state === 'current' && lag === 0)
    }, 'everything is sent')
  }
}

describe('mirroring', () => {
  test('the emitter processes a record once, and its servers store what came of it', async () => {
    const { a, b, c } = await cluster({ a: ['b', 'c'], b: null, c: null })
    const created = await ask(a, 'POST /text/one', { uid: 'one', value: 'good morning, my dear friend' })
    expect(created).toMatchObject({
      status: 200,
      body: { uid: 'one', value: 'good morning, my dear friend (Marked).', lang: 'en' },
    })
    for (const node of [b, c]) {
      await holds(node, 'one', created.text)
      const shown = await ask(node, 'GET /text/one')
      expect([shown.status, shown.text]).toEqual([200, created.text])
      expect(shown.headers.get('etag')).toBe(created.headers.get('etag'))
    }
    const updated = await ask(a, 'PUT /text/one', { value: 'où est la gare, s’il vous plaît ?' })
    expect(updated.body).toMatchObject({ lang: 'fr', value: 'où est la gare, s’il vous plaît ? (Marked).' })
    for (const node of [b, c]) await holds(node, 'one', updated.text)
    expect((await ask(a, 'DELETE /text/one')).status).toBe(200)
    for (const node of [b, c]) await holds(node, 'one', 'delete')
  })

  test('mirror=1 stores exactly what is sent, there or not, and spreads no further, also after a restart', async () => {
    const { a, b, c } = await cluster({ a: ['*', 'b', 'c'], b: null, c: null })
    const records = [
      '{"lang": "en", "timestamp": 1447037485.564405, "uid": "r0", "value": "as it is (Marked).", "check_sum": 3985211366849498588}',
      '{ "uid":"r1",\n "value":"\\u00e9\\ud83d\\ude00 日本 \\ud800", "check_sum":"wrong", "more":[1.0,1e400,12345678901234567890] }',
      '{"uid":"r2","value":""}',
    ]
    for (const [i, record] of records.entries()) {
      for (let twice = 0; twice < 2; twice++) {
        const { status, text } = await ask(a, `PUT /text/r${i}?mirror=1`, { value: record })
        expect([status, text]).toEqual([200, record])
      }
      expect((await ask(a, `GET /text/r${i}`)).text).toBe(record)
    }
    // What a client writes afterwards is sent, so what was to be sent before it is there by then.
    await ask(a, 'POST /text/own', { value: 'hello' })
    await until(async () => (await held(b, 'own')) !== null, 'the write of the client is there')
    for (const i of records.keys()) expect(await held(b, `r${i}`)).toBeNull()
    expect((await ask(a, 'DELETE /text/r2?mirror=1')).status).toBe(200)
    expect((await ask(a, 'DELETE /text/r2?mirror=1')).status).toBe(404)
    await a.stop()
    const { dataFolder, port } = a
    const flags = ['--dialect', 'minstore', '--mirror-to', b.url, '--mirror-to', c.url, '--bridge']
    const again = await startServer({ dataFolder, flags: [...flags, '--port', `${port}`] })
    running.push(again)
    await ask(again, 'POST /text/later', { value: 'hello' })
    for (const node of [b, c]) {
      await until(async () => (await held(node, 'later')) !== null, 'the later write is there')
      for (const i of records.keys()) expect(await held(node, `r${i}`)).toBeNull()
    }
    // A client that updates such a record makes it its own.
    const updated = await ask(again, 'PUT /text/r0', { value: 'hello' })
    expect(updated.status).toBe(200)
    await holds(b, 'r0', updated.text)
    expect((await ask(again, 'DELETE /text/r0?mirror=1')).status).toBe(200)
    await ask(again, 'POST /text/last', { value: 'hello' })
    await until(async () => (await held(b, 'last')) !== null, 'the last write is there')
    expect(await held(b, 'r0')).toBe(updated.text)
  })

  test('a new server that gets everything does not get what spreads no further', async () => {
    const { a, b } = await cluster({ a: null, b: null })
    await ask(a, 'PUT /text/m?mirror=1', { value: '{"uid":"m","value":"x"}' })
    await ask(a, 'POST /text/own', { value: 'x' })
    await a.stop()
    const again = await startServer({ dataFolder: a.dataFolder, flags: ['--mirror-to', b.url, '--bridge'] })
    running.push(again)
    const node = { ...again, kvist: new Kvist(again.url) }
    await until(async () => (await held(b, 'own')) !== null, 'the new server is filled')
    await sent(node)
    expect(await held(b, 'm')).toBeNull()
  })

  test('mirror=1 with bridge=1 is spread to the list of the receiver', async () => {
    const { a, b, c } = await cluster({ a: ['b'], b: ['c'], c: null })
    // A server that is new to b gets all that b has.
    await sent(a, b)
    const record = '{"uid":"m","value":"as it is (Marked)."}'
    expect((await ask(a, 'PUT /text/m?mirror=1&bridge=1', { value: record })).text).toBe(record)
    await holds(b, 'm', record)
    await sent(a, b)
    expect(await held(c, 'm')).toBeNull()
    expect((await ask(a, 'DELETE /text/m?mirror=1&bridge=1')).status).toBe(200)
    await holds(b, 'm', 'delete')
  })
})

test('a follower, which is a copy of its leader, has what spreads no further too, and leaves it to the leader to write', async () => {
  const { a } = await cluster({ a: null })
  const record = '{"uid":"m","value":"x"}'
  await ask(a, 'PUT /text/m?mirror=1', { value: record })
  const dataFolder = newFolder()
  folders.push(dataFolder)
  const flags = ['--dialect', 'minstore', '--follow', a.url]
  const server = await startServer({ dataFolder: join(dataFolder, 'data'), flags })
  running.push(server)
  const follower = { ...server, kvist: new Kvist(server.url) }
  await holds(follower, 'm', record)
  for (const method of ['PUT', 'DELETE']) {
    const init = { method, body: new URLSearchParams({ value: record }), redirect: 'manual' } as const
    const { status, headers } = await fetch(`${server.url}/text/m?mirror=1`, init)
    expect([status, headers.get('location')]).toEqual([307, `${a.url}/text/m?mirror=1`])
  }
  expect((await ask(follower, 'DELETE /text/m?mirror=1')).status).toBe(200)
  await holds(follower, 'm', 'delete')
  expect(await held(a, 'm')).toBe('delete')
})

describe('bridging', () => {
  test('the servers of an emitter with * pass on to their own lists, which need none, also after a restart', async () => {
    const { a, b, c, d } = await cluster({ a: ['*', 'b'], b: ['c'], c: ['d'], d: null })
    const created = await ask(a, 'POST /text/k', { value: 'good morning, my dear friend' })
    for (const node of [b, c]) await holds(node, 'k', created.text)
    await sent(a, b, c)
    // b has no *, so c is not asked to pass it on.
    expect(await held(d, 'k')).toBeNull()
    // A record that was mirrored to a spreads no further, * or not.
    await ask(a, 'PUT /text/m?mirror=1', { value: '{"uid":"m","value":"x"}' })
    await ask(a, 'POST /text/before', { value: 'x' })
    await until(async () => (await held(c, 'before')) !== null, 'what came later is there')
    expect([await held(b, 'm'), await held(c, 'm')]).toEqual([null, null])

    // b is told of a change while c is away, and has to remember it.
    await c.crash()
    const updated = await ask(a, 'PUT /text/k', { value: 'où est la gare, s’il vous plaît ?' })
    await holds(b, 'k', updated.text)
    await b.crash()
    const list = ['--mirror-to', c.url]
    const again = await startServer({ dataFolder: b.dataFolder, flags: [...list, '--port', `${b.port}`] })
    running.push(again)
    const back = await startServer({ dataFolder: c.dataFolder, flags: ['--port', `${c.port}`] })
    running.push(back)
    await holds(c, 'k', updated.text)
    expect((await ask(a, 'DELETE /text/k')).status).toBe(200)
    await holds(c, 'k', 'delete')
  })

  test('an emitter that has no * any more is not passed on', async () => {
    const { a, b, c } = await cluster({ a: ['*', 'b'], b: ['c'], c: null })
    const created = await ask(a, 'POST /text/k', { value: 'x' })
    await holds(c, 'k', created.text)
    await a.stop()
    const flags = ['--dialect', 'minstore', '--mirror-to', b.url]
    const again = await startServer({ dataFolder: a.dataFolder, flags })
    running.push(again)
    const updated = await ask(again, 'PUT /text/k', { value: 'y' })
    await holds(b, 'k', updated.text)
    await ask(b, 'POST /text/own', { value: 'z' })
    await until(async () => (await held(c, 'own')) !== null, 'what b writes is there')
    expect(await held(c, 'k')).toBe(created.text)
  })

  test('a ring of emitters with * settles', async () => {
    const ring = await cluster({ a: ['*', 'b'], b: ['*', 'c'], c: ['*', 'a'] })
    const texts = new Map<string, string>()
    for (const [name, node] of Object.entries(ring))
      texts.set(name, (await ask(node, `POST /text/${name}`, { value: name })).text)
    for (const [uid, text] of texts) for (const node of Object.values(ring)) await holds(node, uid, text)
    await sent(...Object.values(ring))
    const counts = async () =>
      Promise.all(Object.values(ring).map(async ({ kvist }) => (await kvist.nodes.status()).targets[0]!.sent))
    const before = await counts()
    await Bun.sleep(200)
    expect(await counts()).toEqual(before)
  })
})

describe('looking in the other nodes', () => {
  test('GET and DELETE find a record wherever it is, and 404 is only what none has', async () => {
    const { a, b, c } = await cluster({ a: ['b', 'c'], b: ['a', 'c'], c: ['a', 'b'] })
    const record = '{"uid":"m","value":"only here"}'
    await ask(c, 'PUT /text/m?mirror=1', { value: record })
    for (const node of [a, b]) {
      expect((await ask(node, 'GET /text/m')).text).toBe(record)
      expect(await held(node, 'm')).toBeNull()
      expect((await ask(node, 'GET /text/none')).status).toBe(404)
      expect((await ask(node, 'DELETE /text/none')).status).toBe(404)
      // Its writes are of this node alone.
      expect((await ask(node, 'PUT /text/m', { value: 'x' })).status).toBe(404)
    }
    // The other APIs are of this server alone, without --lookup.
    expect((await fetch(`${a.url}/v1/text/m`)).status).toBe(404)
    expect((await ask(a, 'GET /dialects/minstore/text/m')).text).toBe(record)
    // An emitter's delete is for the receiver alone.
    expect((await ask(a, 'DELETE /text/m?mirror=1')).status).toBe(404)
    expect((await ask(a, 'DELETE /text/m')).status).toBe(200)
    for (const node of [a, b, c]) {
      await until(async () => (await ask(node, 'GET /text/m')).status === 404, 'it is gone everywhere')
    }
  })
})

describe('caching', () => {
  test('a node passes GET, PUT and POST on, keeps nothing on disk, and serves later reads from memory', async () => {
    const { a, b, c } = await cluster({ a: ['b', 'c'], b: ['c'], c: null })
    const created = await ask(a, 'POST /text/k?cache=1', { uid: 'k', value: 'good morning, my dear friend' })
    expect(created).toMatchObject({
      status: 200,
      body: { uid: 'k', value: 'good morning, my dear friend (Marked).', lang: 'en' },
    })
    expect(created.headers.get('etag')).toMatch(/^"k:-?\d+"$/)
    expect([await held(a, 'k'), await held(b, 'k')]).toEqual([null, created.text])
    expect(await held(c, 'k')).toBe(created.text)
    expect(await ask(a, 'POST /text/k?cache=1', { value: 'again' })).toMatchObject({
      status: 400,
      body: { error: 'there is a record "k" already' },
    })
    expect(await ask(a, 'POST /text/none?cache=1', { other: 'x' })).toMatchObject({ status: 400 })
    expect((await ask(a, 'PUT /text/none?cache=1', { value: 'x' })).status).toBe(404)
    const updated = await ask(a, 'PUT /text/k?cache=1', { value: 'où est la gare, s’il vous plaît ?' })
    expect(updated).toMatchObject({ status: 200, body: { lang: 'fr' } })
    await holds(c, 'k', updated.text)
    // A write that does not come through this node is not seen until the record is too old.
    await ask(b, 'PUT /text/k', { value: 'unseen' })
    const cached = await ask(a, 'GET /text/k?cache=1')
    expect([cached.status, cached.text]).toEqual([200, updated.text])
    expect(cached.headers.get('age')).toMatch(/^[0-9]$/)
    expect((await ask(a, 'GET /text/k')).body).toMatchObject({ value: 'unseen (Marked).' })
    expect((await fetch(`${a.url}/text/k?cache=1`, { method: 'HEAD' })).headers.get('etag')).toBe(
      updated.headers.get('etag'),
    )
    await b.crash()
    await c.crash()
    expect((await ask(a, 'GET /text/k?cache=1')).text).toBe(updated.text)
    expect((await ask(a, 'GET /text/other?cache=1')).status).toBe(503)
    expect((await ask(a, 'PUT /text/k?cache=1', { value: 'x' })).status).toBe(503)
    expect((await ask(a, 'GET /text/k?cache=1')).status).toBe(503)
    expect(await a.kvist.collections().next()).toMatchObject({ done: true })
  })

  test('all servers of the list have what the first one made of a write', async () => {
    const { a, b, c } = await cluster({ a: ['b', 'c'], b: null, c: null })
    const created = await ask(a, 'POST /text/k?cache=1', { value: 'good morning, my dear friend' })
    for (const node of [b, c]) expect(await held(node, 'k')).toBe(created.text)
    const updated = await ask(a, 'PUT /text/k?cache=1', { value: 'good night & 100% = ü' })
    expect(updated.body).toMatchObject({ value: 'good night & 100% = ü (Marked).' })
    for (const node of [b, c]) expect(await held(node, 'k')).toBe(updated.text)
    await c.crash()
    const later = await ask(a, 'PUT /text/k?cache=1', { value: 'later' })
    expect(later.status).toBe(200)
    expect(await held(b, 'k')).toBe(later.text)
    expect(a.output()).toContain('did not take a record')
  })

  test('servers that list each other, and themselves, do not pass a request around', async () => {
    const { a, b, c } = await cluster({ a: ['a', 'b', 'c'], b: ['a', 'b', 'c'], c: ['a', 'b', 'c'] })
    expect((await ask(a, 'GET /text/none?cache=1')).status).toBe(404)
    expect((await ask(a, 'PUT /text/none?cache=1', { value: 'x' })).status).toBe(404)
    const created = await ask(c, 'POST /text/k?cache=1', { value: 'x' })
    expect(created.status).toBe(200)
    expect(await held(a, 'k')).toBe(created.text)
    for (const node of [b, c]) await holds(node, 'k', created.text)
    expect((await ask(b, 'GET /text/k?cache=1')).text).toBe(created.text)
    expect((await ask(b, 'DELETE /text/k?cache=1')).status).toBe(200)
    await holds(a, 'k', 'delete')
    await until(async () => (await ask(b, 'GET /text/k?cache=1')).status === 404, 'nobody has it any more')
  })

  test('a record that changes here, by a mirror, is dropped', async () => {
    const { a, b } = await cluster({ a: ['b'], b: ['a'] })
    await ask(a, 'POST /text/k?cache=1', { value: 'one' })
    await until(async () => (await held(a, 'k')) !== null, 'the mirror has it')
    const updated = await ask(b, 'PUT /text/k', { value: 'two' })
    await holds(a, 'k', updated.text)
    expect((await ask(a, 'GET /text/k?cache=1')).text).toBe(updated.text)
  })

  test('without servers the flag has no meaning', async () => {
    const { a } = await cluster({ a: null })
    const created = await ask(a, 'POST /text/k?cache=1', { value: 'x' })
    expect(await held(a, 'k')).toBe(created.text)
    expect((await ask(a, 'GET /text/k?cache=1')).headers.get('age')).toBeNull()
  })

  test('tokens: clients need their own, and the node presents its own to the servers', async () => {
    const { b } = await cluster({ b: null }, [])
    const env = { KVIST_TOKEN: 'sesame' }
    const target = await startServer({ flags: ['--dialect', 'minstore'], env })
    running.push(target)
    const dataFolder = newFolder()
    folders.push(dataFolder)
    const tokenFile = join(dataFolder, 'token')
    writeFileSync(tokenFile, 'sesame\n', { mode: 0o600 })
    const mirror = ['--mirror-to', target.url, '--mirror-token-file', tokenFile]
    const flags = ['--dialect', 'minstore', ...mirror]
    const own = await startServer({
      dataFolder: join(dataFolder, 'data'),
      flags,
      env: { KVIST_TOKEN: 'root' },
    })
    running.push(own)
    const { tokens } = new Kvist(own.url, { token: 'root' })
    const grant = (...can: ('read' | 'write')[]) => ({ collections: 'text', key_prefix: 'a/', can })
    const reader = await tokens.create({ name: 'reader', grants: [grant('read')] })
    const writer = await tokens.create({ name: 'writer', grants: [grant('write')] })
    const send = async (method: string, uid: string, token: string) => {
      const body = method === 'GET' ? {} : { body: 'value=x' }
      const headers = { Authorization: `Bearer ${token}`, ...form }
      const path = `/text/${encodeURIComponent(uid)}?cache=1`
      return (await fetch(own.url + path, { method, headers, ...body })).status
    }
    expect(await send('POST', 'a/k', reader.token)).toBe(403)
    expect(await send('POST', 'b/k', writer.token)).toBe(403)
    expect(await send('POST', 'a/k', writer.token)).toBe(200)
    expect(await send('GET', 'a/k', writer.token)).toBe(403)
    expect(await send('GET', 'a/k', reader.token)).toBe(200)
    expect(await send('GET', 'a/k', 'sesame')).toBe(401)
    expect(await send('POST', 'b/k', 'root')).toBe(200)
    expect(await send('GET', 'b/k', reader.token)).toBe(403)
    expect(await b.stop()).toBe(0)
  })
})

describe('clients that speak as minstore did', () => {
  /** Sends what Python 2's urllib and httplib sent, byte for byte, and returns the response. */
  async function sendBytes({ port }: TestServer, head: string, body = '') {
    const length = Buffer.byteLength(body)
    const type = 'Content-type: application/x-www-form-urlencoded'
    const headers = `Accept-Encoding: identity\r\nContent-Length: ${length}\r\nHost: localhost\r\n${type}\r\nAccept: */*`
    const request = `${head} HTTP/1.1\r\n${headers}\r\nConnection: close\r\n\r\n${body}`
    const reply = await sendRaw(port, request)
    return { status: reply!.status, body: Buffer.from(reply!.body, 'latin1').toString() }
  }

  // A record as minstore stored one, and as its emitter sent it.
  const record =
    '{"lang": "en", "timestamp": 1447037485.564405, "uid": "a1", "value": "caf\\u00e9 (Marked).", "check_sum": 3985211366849498588, "size": 222}'
  const sent =
    'value=%7B%22lang%22%3A+%22en%22%2C+%22timestamp%22%3A+1447037485.564405%2C+%22uid%22%3A+%22a1%22%2C+%22value%22%3A+%22caf%5Cu00e9+%28Marked%29.%22%2C+%22check_sum%22%3A+3985211366849498588%2C+%22size%22%3A+222%7D&uid=a1'

  test('an emitter sends its records, with and without bridge', async () => {
    const { a, b } = await cluster({ a: ['b'], b: null })
    const stored = await sendBytes(a, 'PUT /text/a1?mirror=1', sent)
    expect([stored.status, stored.body]).toEqual([200, record])
    const bridged = record.replaceAll('a1', 'a2')
    const second = await sendBytes(a, 'PUT /text/a2?mirror=1&bridge=1', sent.replaceAll('a1', 'a2'))
    expect([second.status, second.body]).toEqual([200, bridged])
    await holds(b, 'a2', bridged)
    expect(await held(b, 'a1')).toBeNull()
    expect((await sendBytes(a, 'DELETE /text/a1?mirror=1', 'uid=a1')).status).toBe(200)
    expect((await sendBytes(a, 'DELETE /text/a2?mirror=1&bridge=1', 'uid=a2')).status).toBe(200)
    await holds(b, 'a2', 'delete')
  })

  test('a client creates, reads, updates and deletes', async () => {
    const { a } = await cluster({ a: null })
    const created = await sendBytes(a, 'POST /text/xxx', 'uid=xxx&value=Buenos+d%C3%ADas+a+todos')
    expect([created.status, JSON.parse(created.body)]).toMatchObject([
      200,
      { uid: 'xxx', value: 'Buenos días a todos (Marked).', lang: 'es' },
    ])
    expect((await sendBytes(a, 'POST /text/xxx', 'uid=xxx&value=again')).status).toBe(400)
    expect((await sendBytes(a, 'GET /text/xxx')).body).toBe(created.body)
    expect((await sendBytes(a, 'PUT /text/xxx', 'uid=xxx&value=hello')).status).toBe(200)
    expect((await sendBytes(a, 'PUT /text/yyy', 'uid=yyy&value=hello')).status).toBe(404)
    expect((await sendBytes(a, 'DELETE /text/xxx', 'uid=xxx&value=xxx')).status).toBe(200)
    expect((await sendBytes(a, 'GET /text/xxx')).status).toBe(404)
  })
})
