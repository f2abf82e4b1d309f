import { afterAll, beforeAll, expect, test } from 'bun:test'
import { Kvist } from '../sdk/client.ts'
import { type InProcessServer, startInProcess } from './support/in-process.ts'
import { allBytes, jsonOf, membersIn, put } from './support/responses.ts'

/** Text is shown as text wherever a member stands in JSON, and comes back as the bytes that it was. */

let server: InProcessServer
let v1: string
beforeAll(async () => {
  server = await startInProcess()
  v1 = `${server.url}/v1`
})
afterAll(() => server.stop())

const utf8 = (text: string) => Uint8Array.from(Buffer.from(text))
const controls = utf8('\u0001'.repeat(1000))

/** What is stored, and as what it is shown. */
const values: [
  key: string,
  type: string,
  bytes: Uint8Array<ArrayBuffer>,
  form: 'value_text' | 'value_base64',
][] = [
  ['plain', 'text/plain', utf8('two\nlines\t"quoted" \\ å😀'), 'value_text'],
  ['empty', 'text/plain', utf8(''), 'value_text'],
  ['mark', 'text/csv; charset=utf-8', utf8('\ufeffa,b\r\n1,2\r\n'), 'value_text'],
  ['separators', 'text/plain', utf8('\u2028\u2029\u0000\u007f'), 'value_text'],
  ['svg', 'image/svg+xml', utf8('<svg xmlns="http://www.w3.org/2000/svg"/>'), 'value_text'],
  ['json-like', 'text/plain', utf8('{"a":1}'), 'value_text'],
  ['bytes', 'application/octet-stream', utf8('only letters'), 'value_base64'],
  ['not-utf8', 'text/plain', allBytes, 'value_base64'],
  ['mostly-letters', 'text/plain', Uint8Array.from([0x61, 0xe5, 0x62]), 'value_base64'],
  ['latin1', 'text/plain; charset=iso-8859-1', Uint8Array.from([0x61, 0xe5]), 'value_base64'],
  ['utf16', 'text/plain; charset=utf-16', utf8('a'), 'value_base64'],
  // As text it would take more room than in base64, and more than a line may have.
  ['controls', 'text/plain', controls, 'value_base64'],
]

async function storeAll(collection: string): Promise<void> {
  for (const [key, type, bytes] of values) {
    expect((await put(`${v1}/${collection}/${key}`, bytes, { 'content-type': type })).ok).toBe(true)
  }
}

function expectForm(shown: Record<string, unknown>, [, , bytes, form]: (typeof values)[number]): void {
  const value = form === 'value_text' ? Buffer.from(bytes).toString() : Buffer.from(bytes).toString('base64')
  const { value_text, value_base64, value: json } = shown
  expect({ value_text, value_base64, json }).toEqual({
    value_text: undefined,
    value_base64: undefined,
    json: undefined,
    [form]: value,
  })
}

test('in lists, lines, the feed and events', async () => {
  await storeAll('shown')
  const page = new Map((await membersIn(`${v1}/shown`)).map((one) => [one.key, one]))
  const lines = await fetch(`${v1}/shown?include=values`, { headers: { accept: 'application/x-ndjson' } })
  const exported = new Map(
    (await lines.text())
      .trimEnd()
      .split('\n')
      .map((line) => [JSON.parse(line).key, JSON.parse(line)]),
  )
  const feed = await jsonOf<{ changes: Record<string, unknown>[] }>(fetch(`${v1}/_changes?collection=shown`))
  const changes = new Map(feed.changes.map((one) => [one.key, one]))
  for (const value of values) {
    for (const shown of [page, exported, changes]) expectForm(shown.get(value[0]) ?? {}, value)
  }
  const stopped = new AbortController()
  const events = await fetch(`${v1}/shown?since=0`, {
    headers: { accept: 'text/event-stream' },
    signal: stopped.signal,
  })
  let text = ''
  const decoder = new TextDecoder()
  for await (const part of events.body!) {
    text += decoder.decode(part, { stream: true })
    if (text.split('event: put').length > values.length) break
  }
  stopped.abort()
  // Only CR and LF end a line of events, whatever else stands in a text.
  const data = text.split('\n').filter((line) => line.startsWith('data: '))
  const reported = new Map(
    data.map((line) => JSON.parse(line.slice(6))).map((change) => [change.key, change]),
  )
  for (const value of values) expectForm(reported.get(value[0]) ?? {}, value)
})

test('what was exported comes back as the bytes that it was', async () => {
  await storeAll('from')
  for (const include of ['values', 'all']) {
    const lines = await fetch(`${v1}/from?include=${include}`, {
      headers: { accept: 'application/x-ndjson' },
    })
    const headers = { 'content-type': 'application/x-ndjson' }
    const body = await lines.text()
    expect(await jsonOf(fetch(`${v1}/to-${include}`, { method: 'POST', body, headers }))).toEqual({
      stored: values.length,
      failed: [],
    })
    for (const [key, type, bytes] of values) {
      const response = await fetch(`${v1}/to-${include}/${key}`)
      expect([key, response.headers.get('content-type')]).toEqual([key, type])
      expect(await response.bytes()).toEqual(bytes)
    }
  }
})

test('what a list shows can be given to a batch', async () => {
  await storeAll('listed')
  const operations = (await membersIn(`${v1}/listed`, '?include=values')).map((one) => ({
    op: 'put',
    collection: 'batched',
    ...one,
  }))
  await jsonOf(fetch(`${v1}/_batch`, { method: 'POST', body: JSON.stringify({ operations }) }))
  for (const [key, , bytes] of values)
    expect(await (await fetch(`${v1}/batched/${key}`)).bytes()).toEqual(bytes)
})

test('the client gives bytes, whichever way they came', async () => {
  await storeAll('client')
  const collection = new Kvist(server.url).collection('client')
  const listed = new Map<string, unknown>()
  for await (const { key, value } of collection.list()) listed.set(key, value)
  for (const [key, , bytes] of values) {
    expect([key, listed.get(key)]).toEqual([key, bytes])
    expect((await collection.get(key))?.value).toEqual(bytes)
  }
})
