import { expect, test } from 'bun:test'
import { startServer } from '../support/server.ts'
import { runExchanges, send } from './exchanges.ts'

const form = 'application/x-www-form-urlencoded'

/** What an English text of ten characters comes to. */
function record(uid: string, value: string, checkSum: string, lang: string, size: string): string {
  return `{"uid":"${uid}","value":"${value} (Marked).","timestamp":<seconds>,"check_sum":${checkSum},"lang":"${lang}","size":${size}}`
}

const digits = record('a', '0123456789', '-6487948055632369493', 'und', '<digits>')
const mirrored =
  '{"lang": "en", "timestamp": 1447037485.564405, "uid": "m", "value": "as it is (Marked).", "check_sum": 3985211366849498588}'

runExchanges('minstore', [
  { ask: 'GET /text/a', status: 404, reply: '{"error":"there is no record \\"a\\""}' },
  { ask: 'DELETE /text/a', status: 404, reply: '{"error":"there is no record \\"a\\""}' },
  {
    ask: 'PUT /text/a',
    body: 'value=x',
    type: form,
    status: 404,
    reply: '{"error":"there is no record \\"a\\""}',
  },
  // A record is made, processed and tagged.
  {
    ask: 'POST /text/a',
    body: 'uid=a&value=0123456789',
    type: form,
    status: 200,
    reply: digits,
    headers: { etag: '"a:-6487948055632369493"', 'content-type': 'application/json' },
  },
  { ask: 'GET /text/a', status: 200, reply: digits, headers: { etag: '"a:-6487948055632369493"' } },
  { ask: 'GET /text/a', with: { 'if-none-match': '"a:-6487948055632369493"' }, status: 304, reply: '' },
  { ask: 'GET /text/a', with: { 'if-none-match': '"a:1"' }, status: 200 },
  { ask: 'GET /text/a', with: { 'if-none-match': 'W/"a:-6487948055632369493"' }, status: 304, reply: '' },
  {
    ask: 'GET /text/a',
    with: { 'if-none-match': ', "a:1",,"a:-6487948055632369493"' },
    status: 304,
    reply: '',
  },
  { ask: 'GET /text/a', with: { 'if-none-match': '*' }, status: 304, reply: '' },
  { ask: 'GET /text/a', with: { 'if-none-match': '"*"' }, status: 200 },
  { ask: 'GET /text/a', with: { 'if-none-match': 'a:1' }, status: 400 },
  { ask: 'GET /text/a', with: { 'if-match': '"a:1"' }, status: 412 },
  { ask: 'GET /text/a', with: { 'if-match': '"a:1", W/"a:-6487948055632369493"' }, status: 200 },
  { ask: 'GET /text/a', with: { 'if-match': '*' }, status: 200 },
  { ask: 'GET /text/none', with: { 'if-none-match': '*' }, status: 404 },
  { ask: 'HEAD /text/a', status: 200 },
  {
    ask: 'POST /text/a',
    body: 'value=again',
    type: form,
    status: 400,
    reply: '{"error":"there is a record \\"a\\" already"}',
  },
  { ask: 'GET /text/a', status: 200, reply: digits },
  // JSON is taken as well, and any language detected.
  {
    ask: 'PUT /text/a',
    body: '{"value":"Guten Morgen, wie geht es dir heute?"}',
    status: 200,
    reply: record('a', 'Guten Morgen, wie geht es dir heute?', '<digits>', 'de', '<digits>'),
  },
  {
    ask: 'POST /text/b',
    body: 'value=hello+there%2C+my+dear+friend',
    type: `${form}; charset=UTF-8`,
    status: 200,
    reply: record('b', 'hello there, my dear friend', '<digits>', 'en', '<digits>'),
  },
  {
    ask: 'POST /text/%C3%A9%22',
    body: 'value=où est la gare, s’il vous plaît ?',
    type: form,
    status: 200,
    reply: record('é\\"', 'où est la gare, s’il vous plaît ?', '<digits>', 'fr', '<digits>'),
    headers: { etag: '"%C3%A9%22:<digits>"' },
  },
  // A mirror stores what another node made of a text, as that made it, whether it was there or not.
  {
    ask: 'PUT /text/m?mirror=1',
    body: `value=${encodeURIComponent(mirrored)}`,
    type: form,
    status: 200,
    reply: mirrored,
    headers: { etag: '"m:3985211366849498588"' },
  },
  { ask: 'GET /text/m', status: 200, reply: mirrored },
  { ask: 'PUT /text/m?mirror=1', body: JSON.stringify({ value: mirrored }), status: 200, reply: mirrored },
  { ask: 'PUT /text/m?mirror=1', body: `{"value":${mirrored}}`, status: 200, reply: mirrored },
  { ask: 'PUT /text/m?mirror=1', body: 'value=text', type: form, status: 400 },
  {
    ask: 'PUT /text/m?mirror=1',
    body: 'value=%7B%22uid%22%3A%22other%22%7D',
    type: form,
    status: 400,
    reply: '{"error":"the value is not a record with this uid, as JSON"}',
  },
  ...['{"value":7}', '{"uid":"m","value":null}', '[]', '{"uid":"m"', '{"uid":7}', '"m"', ''].map((value) => ({
    ask: 'PUT /text/m?mirror=1',
    body: new URLSearchParams({ value }).toString(),
    type: form,
    status: 400,
  })),
  {
    ask: 'PUT /text/m?mirror=1',
    body: JSON.stringify({ value: '{"uid":"m","value":["x"]}' }),
    status: 400,
    reply: '{"error":"the value of the record is not text"}',
  },
  {
    ask: 'PUT /text/m?mirror=1',
    body: 'uid=m',
    type: form,
    status: 400,
    reply: '{"error":"there is no value"}',
  },
  { ask: 'GET /text/m', status: 200, reply: mirrored },
  {
    ask: 'PUT /text/m?mirror=2',
    body: 'value=x',
    type: form,
    status: 200,
    reply: record('m', 'x', '<digits>', '<text>', '<digits>'),
  },
  { ask: 'PUT /text/m?mirror=1&bridge=1', body: `{"value":${mirrored}}`, status: 200, reply: mirrored },
  {
    ask: 'PUT /text/m?mirror=1',
    body: JSON.stringify({ value: JSON.stringify({ uid: 'm', value: 'x'.repeat(16 * 1024 * 1024) }) }),
    status: 413,
    reply: '{"error":"the record would have more than 16777216 bytes"}',
  },
  { ask: 'GET /text/m', status: 200, reply: mirrored },
  // A check_sum may be anything, and is never verified. A tag has no more than headers allow.
  {
    ask: 'PUT /text/m?mirror=1',
    body: JSON.stringify({ value: `{"uid":"m","check_sum":"\\ud800é\\r\\n${'x'.repeat(100)}"}` }),
    status: 200,
    headers: { etag: `"m:%EF%BF%BD%C3%A9%0D%0A${'x'.repeat(100)}"` },
  },
  {
    ask: 'PUT /text/m?mirror=1',
    body: JSON.stringify({ value: `{"uid":"m","check_sum":"${'x'.repeat(100_000)}"}` }),
    status: 200,
    headers: { etag: '"m:<digits>"' },
  },
  { ask: 'GET /text/m', status: 200, headers: { etag: '"m:<digits>"' } },
  { ask: 'DELETE /text/m?mirror=1', status: 200, reply: 'null' },
  { ask: 'GET /text/m', status: 404 },
  // Bad requests, of which nothing is stored.
  { ask: 'POST /text/c', body: 'other=x', type: form, status: 400, reply: '{"error":"there is no value"}' },
  { ask: 'POST /text/c', status: 400, reply: '{"error":"there is no value"}' },
  { ask: 'POST /text/c', body: '{"other":1}', status: 400, reply: '{"error":"there is no value"}' },
  { ask: 'POST /text/c', body: '{"value":7}', status: 400, reply: '{"error":"the value is not text"}' },
  { ask: 'POST /text/c', body: '{"value":"x"', status: 400 },
  {
    ask: 'POST /text/c',
    body: 'value=%ff',
    type: form,
    status: 400,
    reply: '{"error":"value is not UTF-8"}',
  },
  { ask: 'PUT /text/a', body: 'other=x', type: form, status: 400, reply: '{"error":"there is no value"}' },
  { ask: `POST /text/${'k'.repeat(513)}`, body: 'value=x', type: form, status: 400 },
  { ask: 'GET /text/c', status: 404 },
  {
    ask: 'PATCH /text/a',
    body: '{}',
    status: 405,
    reply: '{"error":"PATCH is not done here; POST, PUT, GET, DELETE, HEAD are"}',
  },
  { ask: 'GET /nothing', status: 404, reply: '{"error":"there is nothing at <text>"}' },
  { ask: 'DELETE /text/a', status: 200, reply: 'null' },
  { ask: 'GET /text/a', status: 404 },
])

test('of many who create one record at once, one does', async () => {
  const server = await startServer({ flags: ['--dialect', 'minstore'] })
  try {
    const asked = Array.from({ length: 20 }, (_, i) => {
      return send(server, '', { ask: 'POST /text/one', body: `value=from+${i}`, type: form })
    })
    const statuses = (await Promise.all(asked)).map(({ status }) => status)
    expect(statuses.filter((status) => status === 200)).toHaveLength(1)
    expect(statuses.filter((status) => status === 400)).toHaveLength(19)
  } finally {
    await server.remove()
  }
})

test("the collection's settings have the last word on its processes", async () => {
  const server = await startServer({ flags: ['--dialect', 'minstore'] })
  try {
    const set = async (settings: unknown) => {
      const body = JSON.stringify(settings)
      const { status } = await fetch(`${server.url}/v1/_collections/text`, { method: 'PUT', body })
      expect(status).toBe(200)
    }
    const made = async (uid: string) =>
      JSON.parse((await send(server, '', { ask: `POST /text/${uid}`, body: 'value=hello', type: form })).body)
    await set({ processes: [] })
    expect(await made('a')).toEqual({
      uid: 'a',
      value: 'hello',
      timestamp: expect.any(Number),
      check_sum: expect.any(Number),
      size: expect.any(Number),
    })
    await set({ processes: ['mark'] })
    expect((await made('b')).value).toBe('hello (Marked).')
    expect(JSON.parse((await send(server, '', { ask: 'GET /text/b' })).body).value).toBe('hello (Marked).')
    expect(await made('b2')).not.toHaveProperty('lang')
    // What another node made went through its processes there.
    await send(server, '', { ask: 'PUT /text/m?mirror=1', body: JSON.stringify({ value: mirrored }) })
    expect((await send(server, '', { ask: 'GET /text/m' })).body).toBe(mirrored)
    await set({ processes: null, default_ttl: '1h' })
    expect(await made('c')).toMatchObject({ value: 'hello (Marked).', lang: expect.any(String) })
    const { headers } = await fetch(`${server.url}/v1/text/c`)
    expect(headers.get('kvist-expires-at')).not.toBeNull()
  } finally {
    await server.remove()
  }
})
