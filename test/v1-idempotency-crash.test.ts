import { afterAll, expect, test } from 'bun:test'
import { rmSync } from 'node:fs'
import { isLongRun } from './support/long-run.ts'
import { random, seedOfRun } from './support/random.ts'
import { jsonOf } from './support/responses.ts'
import { newFolder, startServer } from './support/server.ts'

/** What was sent under a key is done once, with one response, however often the server is killed on the way. */

const dataFolder = newFolder()
afterAll(() => rmSync(dataFolder, { recursive: true, force: true }))

const rounds = isLongRun ? 20 : 6
const increment = 'application/vnd.kvist.increment+json'

interface Request {
  readonly method: string
  readonly path: string
  readonly body: string
  readonly type: string
}

/** Every one of them counts: a counter has its number, and new members are as many as there are. */
function requestOf(i: number): Request {
  const type = 'application/json'
  if (i % 3 === 0) return { method: 'POST', path: '/v1/added', body: `{"i":${i}}`, type }
  if (i % 3 === 1) return { method: 'PATCH', path: `/v1/counts/${i % 5}`, body: '{}', type: increment }
  const operations = [
    { op: 'increment', collection: 'counts', key: 'batches' },
    { op: 'put', collection: 'puts', key: String(i), value: i },
  ]
  return { method: 'POST', path: '/v1/_batch', body: JSON.stringify({ operations }), type }
}

/** What came back; null when nothing did. */
async function send(url: string, key: string, { method, path, body, type }: Request): Promise<string | null> {
  try {
    const headers = { 'idempotency-key': key, 'content-type': type }
    const response = await fetch(url + path, { method, body, headers })
    const text = await response.text()
    if (response.status >= 500) return null
    return JSON.stringify([
      response.status,
      response.headers.get('etag'),
      response.headers.get('location'),
      text,
    ])
  } catch {
    return null
  }
}

test('through kills at any moment', async () => {
  const rng = random(seedOfRun())
  const sent = new Map<string, { request: Request; response: string | null }>()
  let next = 0

  async function write(url: string, isRunning: () => boolean): Promise<void> {
    while (isRunning()) {
      // Now and then one that was sent before, whether it had a response or not.
      const known = [...sent.keys()]
      const key = known.length > 0 && rng.oneIn(3) ? rng.pick(known) : `key-${next}`
      if (!sent.has(key)) sent.set(key, { request: requestOf(next++), response: null })
      const entry = sent.get(key)!
      const response = await send(url, key, entry.request)
      if (response === null) return
      if (entry.response !== null) expect([key, response]).toEqual([key, entry.response])
      entry.response = response
    }
  }

  for (let round = 0; round < rounds; round++) {
    const server = await startServer({ dataFolder })
    let isRunning = true
    const writers = Array.from({ length: 8 }, () => write(server.url, () => isRunning))
    await Bun.sleep(30 + rng.int(250))
    await server.crash()
    isRunning = false
    await Promise.all(writers)
  }

  const server = await startServer({ dataFolder })
  try {
    for (const [key, entry] of sent) {
      const response = await send(server.url, key, entry.request)
      expect(response).not.toBeNull()
      expect([key, response]).toEqual([key, entry.response ?? response])
    }
    const requests = [...sent.values()].map(({ request }) => request)
    const count = (isIt: (request: Request) => boolean) => requests.filter(isIt).length
    const number = async (key: string) => Number(await (await fetch(`${server.url}/v1/counts/${key}`)).text())
    for (const key of ['0', '1', '2', '3', '4']) {
      const expected = count(({ path }) => path === `/v1/counts/${key}`)
      if (expected > 0) expect([key, await number(key)]).toEqual([key, expected])
    }
    expect(await number('batches')).toBe(count(({ path }) => path === '/v1/_batch'))
    const { collections } = await jsonOf<{ collections: { name: string; members: number }[] }>(
      fetch(`${server.url}/v1`),
    )
    const added = collections.find(({ name }) => name === 'added')
    expect(added?.members).toBe(count(({ path }) => path === '/v1/added'))
    expect(requests.length).toBeGreaterThan(rounds * 5)
  } finally {
    await server.crash()
  }
})
