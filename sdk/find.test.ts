import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { expectInputError } from '../test/support/client-input.ts'
import { type InProcessServer, startInProcess } from '../test/support/in-process.ts'
import { type Collection, field, Kvist, KvistNotUniqueError, type WhereValue, where } from './client.ts'

interface City {
  readonly name: string
  readonly country: string
  readonly population: number
}

let server: InProcessServer
let cities: Collection<City>
/** The requests of the client. */
const sent: string[] = []
beforeAll(async () => {
  server = await startInProcess()
  const kvist = new Kvist(server.url, {
    fetch: (url, init) => {
      sent.push(`${init.method} ${url.slice(server.url.length)}`)
      return fetch(url, init)
    },
  })
  cities = kvist.collection<City>('cities')
  await cities.import(
    Array.from({ length: 2500 }, (_, i) => ({
      key: String(i).padStart(4, '0'),
      value: { name: `city ${i % 7}`, country: i % 5 === 0 ? 'SE' : 'DE', population: i },
    })),
  )
})
afterAll(() => server.stop())

async function keysOf(members: AsyncIterable<{ readonly key: string }>): Promise<string[]> {
  const keys: string[] = []
  for await (const { key } of members) keys.push(key)
  return keys
}

test('finds by pages, in an order, with some of the fields, and ends when the iteration does', async () => {
  const country = 'SE'
  const swedish = where`@.country == ${country}`
  expect(await keysOf(cities.find({ where: swedish }))).toHaveLength(500)
  sent.length = 0
  const large = where`${swedish} && @.population >= ${100}`
  const found: City[] = []
  for await (const { value } of cities.find({ where: large, order: '-@.population', limit: 1200 }))
    found.push(value)
  expect(found.map(({ population }) => population)).toEqual(
    Array.from({ length: 480 }, (_, i) => 2495 - 5 * i),
  )
  expect(sent).toHaveLength(1)
  sent.length = 0
  for await (const { key } of cities.find({ order: ['-@.population', field('name')] }))
    if (key === '2400') break
  expect(sent).toHaveLength(1)
  const [one] = await Array.fromAsync(cities.find({ limit: 1, fields: [field('name'), '@.population'] }))
  expect(one?.value).toEqual({ name: 'city 0', population: 0 })
  const name: string | undefined = one?.value.name
  expect(name).toBe('city 0')
  expect(await keysOf(cities.find({ limit: 1500, include: 'keys', prefix: '1' }))).toHaveLength(1000)
})

test('a search is aborted by its signal', async () => {
  const stop = new AbortController()
  const found = cities.find({ signal: stop.signal })
  await found.next()
  stop.abort(new Error('enough'))
  for (let i = 0; i < 999; i++) await found.next()
  expect(found.next()).rejects.toThrow('enough')
})

test('a page says whether it is complete, how many match, and how it was found', async () => {
  const page = await cities.findPage({ where: '@.country == "SE"', limit: 2, count: true, explain: true })
  expect(page).toMatchObject({ complete: true, count: 500, explain: { index: null, returned: 2 } })
  const next = await cities.findPage({ where: '@.country == "SE"', limit: 2, cursor: page.next! })
  expect([...page.members, ...next.members].map(({ key }) => key)).toEqual(['0000', '0005', '0010', '0015'])
  expect(next.count).toBeUndefined()
  expect(await cities.count()).toBe(2500)
  expect(await cities.count({ where: where`@.country == ${'SE'}`, prefix: '1' })).toBe(200)
  expect(await cities.explain({ where: '@.country == "SE"', limit: 3 })).toMatchObject({ returned: 3 })
})

test('more than one request can count is counted by its pages', async () => {
  let asked = 0
  const kvist = new Kvist('http://counted', {
    fetch: async (url) => {
      const isCount = url.includes('count=true')
      const page = {
        members: [{ key: 'a' }, { key: 'b' }],
        next: ++asked < 4 ? `c${asked}` : null,
        complete: false,
      }
      return Response.json(isCount ? { ...page, count: 1 } : page)
    },
  })
  expect(await kvist.collection('c').count()).toBe(6)
})

test('a search that is too long for a URL is sent as a body', async () => {
  const keys = Array.from({ length: 600 }, (_, i) => i)
  const choice = keys.map((key) => `@.population == ${key}`).join(' || ')
  const long = `@.country == "SE" && (${choice})`
  sent.length = 0
  expect(await keysOf(cities.find({ where: long }))).toHaveLength(120)
  expect(sent).toEqual(['POST /v1/_query'])
})

test('lists, drops, watches and changes select by value, too', async () => {
  const kvist = new Kvist(server.url)
  const c = kvist.collection<{ n: number }>('few')
  await c.import([1, 2, 3, 4].map((n) => ({ key: `k${n}`, value: { n } })))
  const even = where`@.n == 2 || @.n == 4`
  expect(await keysOf(c.list({ where: even }))).toEqual(['k2', 'k4'])
  expect(await keysOf(c.export({ where: even, order: 'desc' }))).toEqual(['k4', 'k2'])
  const lines = await Array.fromAsync(await c.findLines({ where: even, order: '-@.n', include: 'keys' }))
  expect(Buffer.concat(lines).toString()).toBe('{"key":"k4"}\n{"key":"k2"}\n')
  expect((await c.changesPage({ where: even })).changes.map(({ type, key }) => `${type} ${key}`)).toEqual([
    'leave k1',
    'put k2',
    'leave k3',
    'put k4',
  ])
  const seen: string[] = []
  for await (const event of c.watch({ where: even, since: 0 })) {
    if (event.type !== 'reset') seen.push(`${event.type} ${event.key}`)
    if (seen.length === 4) break
  }
  expect(seen).toEqual(['leave k1', 'put k2', 'leave k3', 'put k4'])
  expect(await c.drop({ where: even })).toBe(2)
  expect(await c.count()).toBe(2)
})

test('a value that is not unique rejects with the other member', async () => {
  const c = new Kvist(server.url).collection<{ mail: string }>('unique')
  await c.setSettings({ indexes: [{ name: 'mails', on: ['@.mail'], unique: true }] })
  await c.put('a', { mail: 'x' })
  const refused = await c.put('b', { mail: 'x' }).catch((error) => error)
  expect(refused).toBeInstanceOf(KvistNotUniqueError)
  expect(refused).toMatchObject({ status: 409, index: 'mails', other: { collection: 'unique', key: 'a' } })
})

describe('a filter from values', () => {
  test.each([
    ['text', where`@.a == ${'it\'s "so" \\ \n\u0001'}`.text, '@.a == "it\'s \\"so\\" \\\\ \\n\\u0001"'],
    [
      'numbers',
      where`@.a < ${1.5} || @.a == ${-0} || @.a > ${1e21}`.text,
      '@.a < 1.5 || @.a == 0 || @.a > 1e+21',
    ],
    [
      'others',
      where`@.a == ${null} && @.b != ${true} && @.c > ${10n}`.text,
      '@.a == null && @.b != true && @.c > 10',
    ],
    ['fields', where`${field('a b', 'c"d', 0)} == ${1}`.text, '@["a b"]["c\\"d"][0] == 1'],
    ['no field', `${field()}`, '@'],
    [
      'filters',
      where`${where`@.a == 1 || @.b == 2`} && !${where`@.c`}`.text,
      '(@.a == 1 || @.b == 2) && !(@.c)',
    ],
    [
      'text between quotes',
      where`@["a'b"] == ${1} && @['"'] == ${2}`.text,
      '@["a\'b"] == 1 && @[\'"\'] == 2',
    ],
  ])('with %s', (_name, text, expected) => {
    expect(text).toBe(expected)
  })

  test('finds what has any text, whatever is in it', async () => {
    const c = new Kvist(server.url).collection<{ text: string }>('texts')
    const texts = ['', '"', "'", '\\', '\\"', '" || true || "', 'a\u2028b', '\u0000', '😀', '\u007f']
    await c.import(texts.map((text, i) => ({ key: `k${i}`, value: { text } })))
    for (const [i, text] of texts.entries())
      expect([text, await keysOf(c.find({ where: where`@.text == ${text}` }))]).toEqual([text, [`k${i}`]])
    const odd = { 'a"b\'\\': 1 }
    await new Kvist(server.url).collection<object>('odd').put('k', odd)
    const filter = where`${field('a"b\'\\')} == ${1}`
    expect(await keysOf(new Kvist(server.url).collection('odd').find({ where: filter }))).toEqual(['k'])
  })

  test('refuses what it cannot hold', async () => {
    const loose = (value: unknown) => () => where`@.a == ${value as WhereValue}`
    for (const value of [
      undefined,
      Number.NaN,
      Number.POSITIVE_INFINITY,
      {},
      [],
      new Date(),
      '\ud800',
      () => 1,
    ])
      await expectInputError(`${typeof value}`, loose(value), /^a filter compares with text, finite numbers/)
    for (const quoted of [
      () => where`@.a == "${'x'}"`,
      () => where`@.a == '${'x'}'`,
      () => where`@["${'x'}"] == 1`,
    ])
      await expectInputError('quoted', quoted, /stands inside of quotes/)
    for (const step of [1.5, '\ud800', null as unknown as string])
      await expectInputError(`${step}`, () => field(step), /^a field has names and whole numbers/)
  })

  test('is checked where it is an option', async () => {
    for (const given of ['', 5, {}, null]) {
      const options = { where: given as string }
      for (const call of [
        () => cities.find(options),
        () => cities.count(options),
        () => cities.drop(options),
      ])
        await expectInputError(`${given}`, call, /^where must be a filter/)
    }
    for (const fields of ['', [], [''], 5])
      await expectInputError(`${fields}`, () => cities.find({ fields: fields as string }), /^fields must be/)
    const wrong = await cities.count({ where: '@.a ==' }).catch((error) => error)
    expect(wrong).toMatchObject({ code: 'invalid_where', status: 400 })
  })
})
