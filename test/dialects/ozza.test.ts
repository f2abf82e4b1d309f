import { expect, test } from 'bun:test'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { newFolder, runServe, startServer } from '../support/server.ts'
import { runExchanges } from './exchanges.ts'

const reported = '"created_at":<ms>,"expiry_time":0'
const word = `{"id":"1","name":"word","n":12345678901234567890,"f":1.0,"age":7,${reported}}`

runExchanges('ozza', [
  // A resource that is not there has no members.
  { ask: 'GET /people', status: 200, reply: '{"result":[]}' },
  { ask: 'GET /people/1', status: 200, reply: '{"result":[]}' },
  { ask: 'HEAD /people/1', status: 204 },
  { ask: 'DELETE /people/1', status: 200, reply: '{"result":"Member not found"}' },
  { ask: 'DELETE /people', status: 404, reply: '{"error":"Resource not found"}' },
  // Members are created, and updated field by field; numbers keep their digits.
  {
    ask: 'PUT /people',
    body: '{"id":"1","name":"word","n":12345678901234567890,"f":1.0}',
    status: 200,
    reply: `{"result":{"id":"1","name":"word","n":12345678901234567890,"f":1.0,${reported}}}`,
  },
  {
    ask: 'PUT /people',
    body: '{"id":"1","age":7}',
    status: 200,
    reply: `{"result":${word}}`,
  },
  {
    ask: 'GET /people/1',
    status: 200,
    reply: `{"result":${word}}`,
  },
  // An id may be a number: it is the member of its digits.
  {
    ask: 'PUT /people',
    body: '{"id":2,"name":"world"}',
    status: 200,
    reply: `{"result":{"id":2,"name":"world",${reported}}}`,
  },
  { ask: 'HEAD /people/2', status: 200 },
  { ask: 'HEAD /people/3', status: 204 },
  // What the server shows beside the fields is not taken for one when it comes back.
  {
    ask: 'PUT /people',
    body: '{"id":2,"created_at":5,"expiry_time":6}',
    status: 200,
    reply: `{"result":{"id":2,"name":"world",${reported}}}`,
  },
  // Expiry is in minutes; an update that does not name one keeps it, 0 takes it away.
  {
    ask: 'PUT /people?expire_in=10',
    body: '{"id":"3","name":"w*d","tag":null}',
    status: 200,
    reply: '{"result":{"id":"3","name":"w*d","tag":null,"created_at":<ms>,"expiry_time":<ms>}}',
  },
  {
    ask: 'PUT /people',
    body: '{"id":"3","tag":true}',
    status: 200,
    reply: '{"result":{"id":"3","name":"w*d","tag":true,"created_at":<ms>,"expiry_time":<ms>}}',
  },
  {
    ask: 'PUT /people?expire_in=0',
    body: '{"id":"3"}',
    status: 200,
    reply: `{"result":{"id":"3","name":"w*d","tag":true,${reported}}}`,
  },
  // Filters are held against every top-level value, as text, and whole.
  {
    ask: 'GET /people?filter=w*d',
    status: 200,
    reply: `{"result":[${word},{"id":2,"name":"world",${reported}},{"id":"3","name":"w*d","tag":true,${reported}}]}`,
  },
  { ask: 'GET /people?filter=wor', status: 200, reply: '{"result":[]}' },
  {
    ask: 'GET /people?filter=word',
    status: 200,
    reply: `{"result":[${word}]}`,
  },
  {
    ask: 'GET /people?filter=7',
    status: 200,
    reply: `{"result":[${word}]}`,
  },
  {
    ask: 'GET /people?filter=true',
    status: 200,
    reply: `{"result":[{"id":"3","name":"w*d","tag":true,${reported}}]}`,
  },
  { ask: 'GET /people?filter=w%3F*d', status: 200, reply: '{"result":[]}' },
  // Bad requests, in its own shape, and nothing of them is stored.
  {
    ask: 'PUT /wrong',
    body: '{"name":"x"}',
    status: 400,
    reply: '{"error":"the member has no \\"id\\" that is text or a number"}',
  },
  { ask: 'PUT /wrong', body: '{"id":null}', status: 400 },
  { ask: 'PUT /wrong', body: '{"id":["1"]}', status: 400 },
  { ask: 'PUT /wrong', body: '{"id":""}', status: 400, reply: '{"error":"the key is empty"}' },
  {
    ask: 'PUT /wrong',
    body: `{"id":"${'k'.repeat(513)}"}`,
    status: 400,
    reply: '{"error":"the key has more than 512 bytes"}',
  },
  { ask: 'PUT /wrong', body: '["id"]', status: 400 },
  { ask: 'PUT /wrong', body: '{"id":"1"', status: 400 },
  {
    ask: 'PUT /wrong',
    status: 400,
    reply: '{"error":"the body is empty; an empty value needs a Content-Type"}',
  },
  { ask: 'PUT /wrong?expire_in=soon', body: '{"id":"1"}', status: 400 },
  { ask: 'PUT /wrong?expire_in=-1', body: '{"id":"1"}', status: 400 },
  { ask: 'PUT /wrong?expire_in=1e9', body: '{"id":"1"}', status: 400 },
  { ask: 'PUT /wrong?expire_in=99999999999999', body: '{"id":"1"}', status: 400 },
  { ask: 'PUT /_settings', body: '{"id":"1"}', status: 400 },
  {
    ask: 'GET /wrong/%ff',
    status: 400,
    reply: '{"error":"the path has an escape that is not one, or not UTF-8"}',
  },
  { ask: 'GET /wrong', status: 200, reply: '{"result":[]}' },
  {
    ask: 'PATCH /people',
    body: '{}',
    status: 405,
    reply: '{"error":"PATCH is not done here; GET, PUT, DELETE, HEAD are"}',
    headers: { allow: 'GET, PUT, DELETE, HEAD' },
  },
  { ask: 'POST /people/1', body: '{}', status: 405 },
  { ask: 'GET /people/1/2', status: 404, reply: '{"error":"there is nothing at <text>"}' },
  // Deleting.
  { ask: 'DELETE /people/1', status: 200, reply: '{"result":"Delete successful"}' },
  { ask: 'HEAD /people/1', status: 204 },
  { ask: 'DELETE /people', status: 200, reply: '{"result":"Resource deleted"}' },
  { ask: 'GET /people', status: 200, reply: '{"result":[]}' },
])

test('updates of one member at once lose no field', async () => {
  const server = await startServer({ flags: ['--dialect', 'ozza'] })
  try {
    const names = Array.from({ length: 40 }, (_, i) => `f${i}`)
    await Promise.all(
      names.map((name, i) =>
        fetch(`${server.url}/shared`, { method: 'PUT', body: JSON.stringify({ id: 'one', [name]: i }) }),
      ),
    )
    const { result } = (await (await fetch(`${server.url}/shared/one`)).json()) as {
      result: Record<string, number>
    }
    expect(names.filter((name, i) => result[name] !== i)).toEqual([])
  } finally {
    await server.remove()
  }
})

test("kvist's own paths keep their meaning, and no resource of their name can be made over them", async () => {
  const server = await startServer({ flags: ['--dialect', 'ozza'] })
  try {
    const asked = async (method: string, path: string) => {
      const response = await fetch(server.url + path, {
        method,
        ...(method === 'PUT' ? { body: '{"id":"1"}' } : {}),
      })
      return `${response.status} ${response.headers.get('content-type')?.split(';')[0]}`
    }
    expect(await asked('GET', '/healthz')).toStartWith('200 text/plain')
    expect(await asked('GET', '/metrics')).toStartWith('200 text/plain')
    expect(await asked('PUT', '/metrics')).toBe('405 application/problem+json')
    expect(await asked('DELETE', '/v1')).toBe('405 application/problem+json')
    expect(await asked('GET', '/v1')).toBe('200 application/json')
    expect(await asked('PUT', '/dialects')).toBe('404 application/json')
    expect(await asked('GET', '/console')).toBe('200 text/html')
    expect(await asked('PUT', '/v10')).toBe('200 application/json')
    const { collections } = (await (await fetch(`${server.url}/v1`)).json()) as {
      collections: { name: string }[]
    }
    expect(collections.map(({ name }) => name)).toEqual(['v10'])
  } finally {
    await server.remove()
  }
})

test("Ozza's own variables name the data; a file of its own in that place is left as it is", async () => {
  const folder = newFolder()
  const env = { DATA_DIRECTORY: folder, DATA_FILENAME: 'store.oz', KVIST_DIALECT: 'ozza' }
  const started = await Bun.spawn([join(import.meta.dir, '../../bin/kvist'), 'serve', '--port', '0'], {
    env: { ...process.env, ...env },
    stdout: 'pipe',
  })
  const reader = started.stdout.getReader()
  const { value } = await reader.read()
  started.kill('SIGTERM')
  expect(Buffer.from(value!).toString()).toContain(`"data":"${join(folder, 'store.oz')}"`)
  expect(await started.exited).toBe(0)

  mkdirSync(join(folder, 'old'))
  writeFileSync(join(folder, 'old/default_store.oz'), '{}')
  const data = join(folder, 'old/default_store.oz')
  const { exitCode, output } = await runServe(['--data', data])
  expect(exitCode).not.toBe(0)
  expect(output).toContain('default_store.oz')
  expect(await Bun.file(data).text()).toBe('{}')
})
