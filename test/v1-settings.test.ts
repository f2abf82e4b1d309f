import { afterAll, beforeAll, expect, test } from 'bun:test'
import { Kvist } from '../sdk/client.ts'
import { changeSettings } from '../src/cli/change-settings.ts'
import { type InProcessServer, startInProcess } from './support/in-process.ts'
import { expectProblem } from './support/responses.ts'

/** Conditions on the settings of a collection: nobody undoes what somebody else has just set. */

let server: InProcessServer
beforeAll(async () => {
  server = await startInProcess(() => Date.now())
})
afterAll(() => server.stop())

const at = (name: string) => `${server.url}/v1/_collections/${name}`
const tagOf = (response: Response) => response.headers.get('etag')

function send(method: 'PUT' | 'DELETE', name: string, headers: Record<string, string>): Promise<Response> {
  return fetch(at(name), { method, headers, ...(method === 'PUT' ? { body: '{"max_members":1}' } : {}) })
}

test('settings have an ETag from when they are stored until they are removed', async () => {
  expect(tagOf(await fetch(at('tagged')))).toBeNull()
  const first = tagOf(await send('PUT', 'tagged', {}))
  expect(first).toMatch(/^"[1-9][0-9]*"$/)
  expect(tagOf(await fetch(at('tagged')))).toBe(first)
  // The tag does not tell how far indexes are built, so a GET is always answered.
  expect((await fetch(at('tagged'), { headers: { 'If-None-Match': first! } })).status).toBe(200)
  expect(tagOf(await send('PUT', 'tagged', {}))).not.toBe(first)
  expect((await send('DELETE', 'tagged', {})).status).toBe(204)
  expect(tagOf(await fetch(at('tagged')))).toBeNull()
})

test('PUT and DELETE honour If-Match and If-None-Match, as for members', async () => {
  const refused = async (method: 'PUT' | 'DELETE', headers: Record<string, string>) =>
    expectProblem(await send(method, 'held', headers), 412, 'precondition_failed')
  for (const method of ['PUT', 'DELETE'] as const)
    for (const tag of ['*', '"1"'])
      expect(await refused(method, { 'If-Match': tag })).toMatchObject({ revision: null })
  const first = tagOf(await send('PUT', 'held', { 'If-None-Match': '*' }))!
  await refused('PUT', { 'If-None-Match': '*' })
  const second = tagOf(await send('PUT', 'held', { 'If-Match': first }))!
  for (const method of ['PUT', 'DELETE'] as const) {
    const { revision, detail } = await refused(method, { 'If-Match': first })
    expect([`"${revision}"`, detail]).toEqual([second, `the settings of held are at revision ${revision}`])
    expect((await send(method, 'held', { 'If-Unmodified-Since': new Date().toUTCString() })).status).toBe(400)
  }
  expect(tagOf(await fetch(at('held')))).toBe(second)
  expect((await send('DELETE', 'held', { 'If-Match': second })).status).toBe(204)
  await refused('DELETE', { 'If-Match': second })
})

test('of those that write over the same revision at once, one succeeds', async () => {
  const tag = tagOf(await send('PUT', 'raced', {}))!
  const responses = await Promise.all(
    Array.from({ length: 8 }, () => send('PUT', 'raced', { 'If-Match': tag })),
  )
  expect(responses.map(({ status }) => status).sort()).toEqual([200, ...new Array(7).fill(412)])
})

test('changes of settings at once are all kept, as those of the command line', async () => {
  const collection = new Kvist(server.url).collection('changed')
  const name = (n: number) => `by_${n}`
  const added = Array.from({ length: 8 }, (_, n) =>
    changeSettings(collection, ({ indexes }) => ({ indexes: [...indexes, { name: name(n), on: ['@.a'] }] })),
  )
  const schema = { type: 'object' }
  await Promise.all([...added, changeSettings(collection, () => ({ schema }))])
  const settings = await collection.settings()
  expect(settings.indexes.map((index) => index.name).sort()).toEqual(
    Array.from({ length: 8 }, (_, n) => name(n)),
  )
  expect(settings.schema).toEqual(schema)
  await changeSettings(collection, () => null)
  expect((await collection.settings()).revision).toBe(settings.revision)
})
