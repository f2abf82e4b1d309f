import { expect, test } from 'bun:test'
import { expectInputError, unsentKvist as kvist, untyped } from '../test/support/client-input.ts'
import { Kvist } from './client.ts'

/** What is stored is what the caller's value is, or an error: never `{}` or `null` by accident. */

const c = kvist.collection<unknown>('c')
const loose = untyped(c)

class Secretive {
  readonly #hidden = 1
  get hidden() {
    return this.#hidden
  }
}
const circular: { self?: object } = {}
circular.self = circular
const transferred = new Uint8Array(8)
structuredClone(transferred, { transfer: [transferred.buffer] })
const deep = JSON.parse(`${'['.repeat(50)}${']'.repeat(50)}`)

const noJson: [name: string, value: unknown, message: RegExp][] = [
  ['undefined', undefined, /undefined, which JSON does not have/],
  ['a function', () => 1, /a function/],
  ['a symbol', Symbol('s'), /a symbol/],
  ['a BigInt', 1n, /BigInt/],
  ['a nested BigInt', { a: [1n] }, /BigInt/],
  ['NaN', Number.NaN, /NaN, which JSON does not have/],
  ['Infinity', { a: [1, { 'b c': -Infinity }] }, /\.a\[1\]\["b c"\] is -Infinity/],
  ['a hole', [1, undefined], /\[1\] is undefined/],
  ['a Map', new Map([[1, 2]]), /a Map, of which JSON would keep nothing/],
  ['a Set', { tags: new Set([1]) }, /\.tags is a Set/],
  ['a Blob', new Blob(['x']), /Blob/],
  ['a Promise', { user: Promise.resolve(1) }, /\.user is a Promise/],
  ['a RegExp', /x/, /RegExp/],
  ['an Error', Object.assign(new RangeError('x'), { code: 'E' }), /RangeError/],
  ['a WeakMap', new WeakMap(), /WeakMap/],
  ['a Response', new Response('x'), /Response/],
  ['private fields', new Secretive(), /a Secretive/],
  ['a method', { greet() {} }, /\.greet is a function/],
  ['an invalid Date', { at: new Date('x') }, /\.at is a Date that is no time/],
  ['a boxed NaN', new Number(Number.NaN), /NaN/],
  ['bytes inside', { picture: new Uint8Array(3) }, /\.picture is bytes/],
  ['a Buffer inside', [Buffer.from('x')], /\[0\] is bytes/],
  ['a buffer inside', [new ArrayBuffer(3)], /\[0\] is a ArrayBuffer/],
  ['itself', circular, /cannot be written as JSON/],
  ['a toJSON of NaN', { toJSON: () => ({ n: Number.NaN }) }, /\.n is NaN/],
  ['a toJSON of nothing', { toJSON: () => undefined }, /undefined/],
  [
    'a toJSON that throws',
    {
      toJSON() {
        throw new Error('not today')
      },
    },
    /not today/,
  ],
]

test.each(noJson)('%s is no value, wherever one is taken', async (name, value, message) => {
  await expectInputError(name, () => c.put('k', value), message)
  await expectInputError(name, () => c.add(value), message)
  await expectInputError(name, () => c.import([{ key: 'k', value }]), message)
  await expectInputError(name, () => c.patch('k', value), message)
  await expectInputError(name, () => c.jsonPatch('k', [{ op: 'add', path: '', value }]), /./)
  const operations = [{ op: 'put', collection: 'c', key: 'k', value }] as const
  await expectInputError(name, () => kvist.batch({ operations }), message)
})

test('what is nested too deeply is no value', async () => {
  let tooDeep: unknown[] = []
  for (let i = 0; i < 100_000; i++) tooDeep = [tooDeep]
  await expectInputError('too deep', () => c.put('k', tooDeep), /nested too deeply/)
})

test('what JSON keeps is a value', async () => {
  class User {
    readonly name = 'Ada'
  }
  const sent: unknown[] = []
  const fine = new Kvist('http://kvist.invalid', {
    fetch(_url, { body }) {
      sent.push(body)
      return Promise.resolve(Response.json({}))
    },
  }).collection<unknown>('c')
  const shared = { a: 1 }
  const inherited = Object.create(null)
  inherited.x = 1
  const values = [
    null,
    '',
    0,
    [],
    {},
    deep,
    new User(),
    new Date(0),
    new String('s'),
    inherited,
    [shared, shared],
  ]
  for (const value of [...values, { a: undefined }, { toJSON: () => 1 }, new URL('http://x/'), Object(true)])
    await fine.put('k', value)
  expect(sent).toEqual([
    'null',
    '""',
    '0',
    '[]',
    '{}',
    JSON.stringify(deep),
    '{"name":"Ada"}',
    '"1970-01-01T00:00:00.000Z"',
    '"s"',
    '{"x":1}',
    '[{"a":1},{"a":1}]',
    '{}',
    '1',
    '"http://x/"',
    'true',
  ])
})

test('bytes are what they are: of a buffer, a view, a Buffer', async () => {
  const sent: unknown[] = []
  const fine = new Kvist('http://kvist.invalid', {
    async fetch(_url, { body, headers }) {
      sent.push([
        new Headers(headers).get('content-type'),
        [...new Uint8Array(await new Response(body).arrayBuffer())],
      ])
      return Response.json({})
    },
  }).collection<unknown>('c')
  const all = Uint8Array.of(1, 2, 3, 4)
  const shared = new Uint8Array(new SharedArrayBuffer(2)).fill(5)
  for (const value of [
    all,
    all.buffer,
    new DataView(all.buffer, 1, 2),
    Uint16Array.of(258),
    Buffer.from('a'),
    shared,
    shared.buffer,
  ]) {
    await fine.put('k', value)
    await fine.putRaw('k', value as ArrayBuffer, 'image/png')
  }
  expect(sent.filter((_, i) => i % 2 === 0)).toEqual(
    [[1, 2, 3, 4], [1, 2, 3, 4], [2, 3], [2, 1], [97], [5, 5], [5, 5]].map((bytes) => [
      'application/octet-stream',
      bytes,
    ]),
  )
  expect(sent[1]).toEqual(['image/png', [1, 2, 3, 4]])
  await expectInputError('transferred', () => c.put('k', transferred), /transferred/)
})

test('a string under a type that is not JSON is that text', async () => {
  const sent: unknown[] = []
  const fine = new Kvist('http://kvist.invalid', {
    fetch(_url, { body, headers }) {
      sent.push([new Headers(headers).get('content-type'), body])
      return Promise.resolve(Response.json({}))
    },
  }).collection<unknown>('c')
  await fine.put('k', 'hello', { contentType: 'text/html' })
  await fine.put('k', 'hello', { contentType: 'Application/JSON; charset=utf-8' })
  await fine.put('k', 'hello', { contentType: 'application/vnd.x+json' })
  await fine.putText('k', 'grün')
  await fine.putText('k', '1', { contentType: 'text/csv' })
  await fine.putRaw('k', '{"a": 1.0}', 'application/json')
  expect(sent).toEqual([
    ['text/html', 'hello'],
    ['Application/JSON; charset=utf-8', '"hello"'],
    ['application/vnd.x+json', '"hello"'],
    ['text/plain; charset=utf-8', 'grün'],
    ['text/csv', '1'],
    ['application/json', '{"a": 1.0}'],
  ])
  for (const value of [{ a: 1 }, 1, null, undefined])
    await expectInputError(
      'no text',
      () => c.put('k', value, { contentType: 'text/plain' }),
      /must be bytes or a string/,
    )
  for (const value of ['\ud800', 'a\udfff', 1, undefined, null]) {
    await expectInputError(
      'half of a character',
      () => loose.putText('k', value),
      /a text of whole characters/,
    )
    await expectInputError(
      'half of a character',
      () => loose.putRaw('k', value, 'text/plain'),
      /a text of whole characters/,
    )
  }
})
