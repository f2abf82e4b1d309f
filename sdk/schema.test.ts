import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type InProcessServer, startInProcess } from '../test/support/in-process.ts'
import { Kvist, KvistHttpError, KvistSchemaError } from './client.ts'

let server: InProcessServer
let kvist: Kvist
beforeAll(async () => {
  server = await startInProcess()
  kvist = new Kvist(server.url)
})
afterAll(() => server.stop())

test('a value that breaks the schema rejects with an error that says how', async () => {
  const people = kvist.collection<unknown>('people')
  const { schema } = await people.setSettings({ schema: { type: 'object', required: ['name'] } })
  expect(schema).toEqual({ type: 'object', required: ['name'] })
  const violations = [{ pointer: '', reason: 'must have the property "name"', keyword: 'required' }]
  const refused = await people.put('ada', {}).catch((error) => error)
  expect(refused).toBeInstanceOf(KvistSchemaError)
  expect(refused).toMatchObject({ code: 'schema_violation', status: 422, violations, operation: null })
  expect(refused.member).toEqual({ collection: 'people', key: 'ada' })
  const operations = ['a', 'b'].map((key) => ({ op: 'put', collection: 'people', key, value: {} }) as const)
  const batch = await kvist.batch({ operations }).catch((error) => error)
  expect(batch).toMatchObject({ operation: 0, member: { collection: 'people', key: 'a' } })
  // A newer server may say it in another way.
  const other = new KvistSchemaError(
    422,
    '',
    { code: 'schema_violation', detail: '', violations: [1, {}] },
    null,
  )
  expect([other.violations, other.member]).toEqual([[], null])
})

test('a schema that is wrong rejects with the place', async () => {
  const wrong = await kvist
    .collection('people')
    .setSettings({ schema: { properties: { age: { type: 'int' } } } })
    .catch((error) => error)
  expect(wrong).toBeInstanceOf(KvistHttpError)
  expect(wrong).toMatchObject({ code: 'invalid_schema', problem: { pointer: '/properties/age/type' } })
})

test('members that would break a schema are found, a part at a time', async () => {
  const c = kvist.collection<unknown>('many')
  await c.import(Array.from({ length: 250 }, (_, i) => ({ key: String(i).padStart(3, '0'), value: i })))
  const schema = { maximum: 39 }
  const part = await c.checkSchema(schema, { limit: 2 })
  expect(part).toMatchObject({ checked: 42, complete: false, broken: [{ key: '040' }, { key: '041' }] })
  const rest = await c.checkSchema(schema, { cursor: part.next!, limit: 1000 })
  expect(rest).toMatchObject({ checked: 208, complete: true, next: null })
  const found: string[] = []
  for await (const { key, violations } of c.brokenMembers(schema)) {
    expect(violations).toMatchObject([{ keyword: 'maximum' }])
    found.push(key)
  }
  expect(found).toHaveLength(210)
  const wrong: unknown = 'text'
  expect(() => c.brokenMembers(wrong as boolean)).toThrow('the schema must be a JSON Schema')
})
