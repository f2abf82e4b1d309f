import { describe, expect, test } from 'bun:test'
import { startServer } from '../support/server.ts'
import { runExchanges } from './exchanges.ts'

function missing(name: string): string {
  return `{"detail":[{"loc":["query","${name}"],"msg":"field required","type":"value_error.missing"}]}`
}

runExchanges('reforg', [
  { ask: 'GET /api/v1/keys?key=a', status: 404, reply: 'null' },
  {
    ask: 'PUT /api/v1/keys?key=a&value=b',
    status: 200,
    reply: 'null',
    headers: { 'content-type': 'application/json' },
  },
  { ask: 'GET /api/v1/keys?key=a', status: 200, reply: '{"key":"a","value":"b"}' },
  { ask: 'PUT /api/v1/keys?key=a&value=', status: 200, reply: 'null' },
  { ask: 'GET /api/v1/keys?key=a', status: 200, reply: '{"key":"a","value":""}' },
  { ask: 'PUT /api/v1/keys?key=two+words&value=%C3%A9%22%0A+1%2B1', status: 200, reply: 'null' },
  {
    ask: 'GET /api/v1/keys?key=two%20words',
    status: 200,
    reply: '{"key":"two words","value":"é\\"\\n 1+1"}',
  },
  { ask: 'PUT /api/v1/keys?value=7&other=1&key=n', status: 200, reply: 'null' },
  { ask: 'GET /api/v1/keys?key=x&key=n', status: 200, reply: '{"key":"n","value":"7"}' },
  // Missing or bad parameters.
  { ask: 'GET /api/v1/keys', status: 422, reply: missing('key') },
  { ask: 'PUT /api/v1/keys?value=v', status: 422, reply: missing('key') },
  { ask: 'PUT /api/v1/keys?key=k', status: 422, reply: missing('value') },
  {
    ask: 'GET /api/v1/keys?key=',
    status: 422,
    reply: '{"detail":[{"loc":["query","key"],"msg":"the key is empty","type":"value_error"}]}',
  },
  { ask: `GET /api/v1/keys?key=${'k'.repeat(513)}`, status: 422 },
  {
    ask: 'GET /api/v1/keys?key=%ff',
    status: 422,
    reply: '{"detail":[{"loc":["query","key"],"msg":"key is not UTF-8","type":"value_error"}]}',
  },
  { ask: 'PUT /api/v1/keys?key=k&value=%zz', status: 422 },
  { ask: 'GET /api/v1/keys?key=k', status: 404, reply: 'null' },
  {
    ask: 'DELETE /api/v1/keys?key=a',
    status: 405,
    reply: '{"detail":"DELETE is not done here; GET, PUT, HEAD are"}',
  },
  { ask: 'GET /api/v1/nothing', status: 404, reply: '{"detail":"there is nothing at <text>"}' },
])

test("the page of the API is kvist's, in both mounts", async () => {
  const server = await startServer({ flags: ['--dialect', 'reforg'] })
  try {
    for (const path of ['/docs', '/dialects/reforg/docs']) {
      const page = await fetch(server.url + path)
      expect(page.status).toBe(200)
      expect(page.headers.get('content-type')).toStartWith('text/html')
    }
  } finally {
    await server.remove()
  }
})

describe('/', () => {
  const ask = async ({ url }: { url: string }, path: string, init: RequestInit = {}) => {
    const { status, headers, ...response } = await fetch(url + path, { redirect: 'manual', ...init }).then(
      async (got) => ({ status: got.status, headers: got.headers, text: await got.text() }),
    )
    return [status, headers.get('content-type'), response.text]
  }

  test('greets at the root mount, whoever asks, and leads nowhere', async () => {
    const server = await startServer({ flags: ['--dialect', 'reforg'], env: { KVIST_TOKEN: 'secret' } })
    try {
      const text = '{"message":"Hello!"}'
      const greeting = [200, 'application/json', text]
      const authorized = { headers: { Authorization: 'Bearer secret' } }
      expect(await ask(server, '/')).toEqual(greeting)
      expect(await ask(server, '/', { headers: { Accept: 'text/html' } })).toEqual(greeting)
      expect(await ask(server, '/?name=x')).toEqual(greeting)
      const head = await fetch(`${server.url}/`, { method: 'HEAD' })
      expect([head.status, head.headers.get('content-length')]).toEqual([200, String(text.length)])
      expect(await ask(server, '/', { method: 'DELETE', ...authorized })).toEqual([
        405,
        'application/json',
        '{"detail":"DELETE is not done here; GET, HEAD are"}',
      ])
      for (const mount of ['/dialects/reforg', '/dialects/reforg/'])
        expect((await ask(server, mount, authorized))[0]).toBe(404)
      const document = await (await fetch(`${server.url}/openapi.json`)).json()
      expect(document).toMatchObject({ paths: { '/': { get: { tags: ['reforg'] } } } })
    } finally {
      await server.remove()
    }
  })

  test.each([null, 'keys', 'minstore'])('stays as it is with --dialect %s', async (dialect) => {
    const server = await startServer({ flags: dialect === null ? [] : ['--dialect', dialect] })
    try {
      const [status, , text] = await ask(server, '/')
      expect([status, JSON.parse(String(text))]).toMatchObject([200, { name: 'kvist', api: '/v1' }])
      expect((await ask(server, '/', { headers: { Accept: 'text/html' } }))[0]).toBe(307)
    } finally {
      await server.remove()
    }
  })
})
