import { expect, test } from 'bun:test'
import { expectInputError, unsentKvist as kvist, untyped } from '../test/support/client-input.ts'
import { Kvist } from './client.ts'

/** What a caller gets wrong by accident is an error at once: nothing is sent, and nothing is sent again. */

const c = kvist.collection<unknown>('c')
const loose = untyped(c)
const looseKvist = untyped(kvist)

test('a key is a text, and not empty', async () => {
  for (const key of ['', '\ud800', undefined, null, 5, {}, ['a']]) {
    for (const call of [
      () => loose.get(key),
      () => loose.getText(key),
      () => loose.getAt(key, 1),
      () => loose.history(key),
      () => loose.getRaw(key),
      () => loose.getWhenChanged(key, null),
      () => loose.head(key),
      () => loose.put(key, 1),
      () => loose.putText(key, 'x'),
      () => loose.putRaw(key, 'x', 'text/plain'),
      () => loose.patch(key, {}),
      () => loose.jsonPatch(key, []),
      () => loose.increment(key),
      () => loose.delete(key),
    ])
      await expectInputError(`${key}`, call, /^the key must be a text/)
    const member = { collection: 'c', key } as { collection: string; key: string }
    const put = { op: 'put', ...member, value: 1 } as const
    await expectInputError(
      `${key}`,
      () => kvist.batch({ operations: [put] }),
      /^operations\[0\]: key must be/,
    )
    await expectInputError(
      `${key}`,
      () => kvist.batch({ checks: [{ ...member, revision: 1 }] }),
      /^checks\[0\]: key/,
    )
    if (key !== undefined)
      await expectInputError(`${key}`, () => loose.watch({ key }), /^the key must be a text/)
  }
})

test('a collection has a name that the server takes', async () => {
  for (const name of [
    '',
    '.',
    '..',
    '_x',
    'a/b',
    'a/..',
    'a\nb',
    'a\0',
    'a\x7f',
    '\ud800',
    undefined,
    null,
    1,
  ]) {
    await expectInputError(`${name}`, () => looseKvist.collection(name), /^the collection must be/)
    const operation = { op: 'delete', collection: name, key: 'k' } as const
    await expectInputError(
      `${name}`,
      () => looseKvist.batch({ operations: [operation] }),
      /collection must be/,
    )
  }
})

const everywhere: [name: string, call: (options: object) => unknown][] = [
  ['get', (options) => loose.get('k', options)],
  ['getText', (options) => loose.getText('k', options)],
  ['getAt', (options) => loose.getAt('k', 1, options)],
  ['history', (options) => loose.history('k', options)],
  ['getRaw', (options) => loose.getRaw('k', options)],
  ['getWhenChanged', (options) => loose.getWhenChanged('k', null, options)],
  ['getMany', (options) => loose.getMany(['k'], options)],
  ['head', (options) => loose.head('k', options)],
  ['put', (options) => loose.put('k', 1, options)],
  ['putText', (options) => loose.putText('k', 'x', options)],
  ['putRaw', (options) => loose.putRaw('k', 'x', 'text/plain', options)],
  ['add', (options) => loose.add(1, options)],
  ['patch', (options) => loose.patch('k', {}, options)],
  ['jsonPatch', (options) => loose.jsonPatch('k', [], options)],
  ['increment', (options) => loose.increment('k', 1, options)],
  ['touch', (options) => loose.touch('k', options)],
  ['delete', (options) => loose.delete('k', options)],
  ['list', (options) => loose.list(options)],
  ['page', (options) => loose.page(options)],
  ['pages', (options) => loose.pages(options)],
  ['find', (options) => loose.find(options)],
  ['findPage', (options) => loose.findPage(options)],
  ['findLines', (options) => loose.findLines(options)],
  ['count', (options) => loose.count(options)],
  ['explain', (options) => loose.explain(options)],
  ['export', (options) => loose.export(options)],
  ['lines', (options) => loose.lines(options)],
  ['import', (options) => loose.import([], options)],
  ['importLines', (options) => loose.importLines('', options)],
  ['drop', (options) => loose.drop(options)],
  ['changes', (options) => loose.changes(options)],
  ['changesPage', (options) => loose.changesPage(options)],
  ['changesText', (options) => loose.changesText(options)],
  ['watch', (options) => loose.watch(options)],
  ['watchRaw', (options) => loose.watchRaw(options)],
  ['brokenMembers', (options) => loose.brokenMembers(true, options)],
  ['checkSchema', (options) => loose.checkSchema(true, options)],
  ['settings', (options) => loose.settings(options)],
  ['setSettings', (options) => loose.setSettings({}, options)],
  ['getMany of all', (options) => looseKvist.getMany([], options)],
  ['collections', (options) => kvist.collections(options)],
  ['engine', (options) => kvist.engine(options)],
  ['backup', (options) => kvist.backup(options)],
  ['collectionsPage', (options) => kvist.collectionsPage(options)],
  ['batch', (options) => kvist.batch({}, options)],
  ['whoami', (options) => kvist.whoami(options)],
  ['ticket', (options) => kvist.ticket('/v1/c', options)],
  ['create', (options) => kvist.tokens.create({ name: 'app', grants: [] }, options)],
  ['revoke', (options) => kvist.tokens.revoke('k3v9x2m7q1ab', options)],
  ['list of all', (options) => kvist.tokens.list(options)],
  ['changes of all', (options) => kvist.changes(options)],
  ['changesPage of all', (options) => kvist.changesPage(options)],
  ['changesText of all', (options) => kvist.changesText(options)],
  ['watch of all', (options) => kvist.watch(options)],
  ['watchRaw of all', (options) => kvist.watchRaw(options)],
]

test('every method is in the table of calls with bad options', () => {
  const methods = (of: object): string[] => {
    const prototype = Object.getPrototypeOf(of)
    if (prototype === Object.prototype) return []
    const own = Object.entries(Object.getOwnPropertyDescriptors(prototype))
    const names = own.filter(([, { value }]) => typeof value === 'function').map(([name]) => name)
    return [...names.filter((name) => name !== 'constructor'), ...methods(prototype)]
  }
  const tried = everywhere.map(([name]) => name)
  for (const name of methods(c)) expect(tried).toContain(name)
  const ofServer = [...methods(kvist), ...methods(kvist.tokens)]
  for (const name of ofServer.filter((name) => name !== 'collection'))
    expect([name, tried.includes(name) || tried.includes(`${name} of all`)]).toEqual([name, true])
})

test.each(everywhere)('%s takes no option that does not exist, nor a bad one', async (name, call) => {
  for (const [options, message] of [
    [{ perfix: 'a' }, /there is no option "perfix"; known are .*signal/],
    [{ toString: 'a' }, /there is no option "toString"/],
    ['a', /expected an object of options, not "a"/],
    [5, /expected an object of options, not 5/],
    [null, /expected an object of options, not null/],
    [['a'], /expected an object of options, not a value of type Array/],
    [{ signal: new AbortController() }, /signal must be an AbortSignal, not a value of type AbortController/],
    [{ timeoutMs: -1 }, /timeoutMs must be a number of milliseconds/],
    [{ timeoutMs: Number.NaN }, /timeoutMs must be/],
    [{ timeoutMs: '5s' }, /timeoutMs must be/],
  ] as const)
    await expectInputError(name, () => call(options as object), message)
  if (/^watch/.test(name)) return
  for (const retries of [-1, 1.5, Number.NaN, '1', Infinity])
    await expectInputError(name, () => call({ retries }), /retries must be a whole number from 0/)
})

test('a drop takes no selector that would select everything by accident', async () => {
  for (const selector of ['prefix', 'filter', 'match', 'from', 'to']) {
    for (const value of [undefined, '', null, 5, '\ud800', {}])
      await expectInputError(
        selector,
        () => loose.drop({ [selector]: value }),
        RegExp(`^${selector} must be a text`),
      )
    await expectInputError(
      selector,
      () => loose.drop({ prefix: 'a', [`${selector}x`]: 'b' }),
      /there is no option/,
    )
  }
})

test('selectors, limits, orders, cursors and places in the feed are what they must be', async () => {
  for (const name of ['list', 'page', 'export', 'lines'] as const) {
    const list = (options: object) => loose[name](options)
    for (const selector of ['prefix', 'filter', 'match', 'from', 'to'])
      for (const value of [null, 5, '\udfff', {}])
        await expectInputError(
          selector,
          () => list({ [selector]: value }),
          RegExp(`^${selector} must be a text`),
        )
    for (const limit of [0, -1, 1.5, Number.NaN, '5', null])
      await expectInputError('limit', () => list({ limit }), /^limit must be a whole number from 1/)
    await expectInputError('order', () => list({ order: 'up' }), /^order must be "asc" or "desc", not "up"/)
    await expectInputError('include', () => list({ include: 'key' }), /^include must be "all" or/)
  }
  await expectInputError('cursor', () => loose.page({ cursor: null }), /^cursor must be/)
  for (const name of ['changes', 'changesPage', 'changesText', 'watch', 'watchRaw'] as const)
    for (const since of [null, '', -1, Number.NaN, 1.5, {}])
      await expectInputError('since', () => loose[name]({ since }), /^since must be a resume point/)
  for (const waitMs of [-1, Number.NaN, '1s'])
    await expectInputError('waitMs', () => loose.getWhenChanged('k', 1, { waitMs }), /^waitMs must be/)
  for (const known of [undefined, 0, 'a', Number.NaN])
    await expectInputError('known', () => loose.getWhenChanged('k', known), /^the known revision must be/)
  await expectInputError('silenceMs', () => loose.watch({ silenceMs: -1 }), /^silenceMs must be/)
  await expectInputError('onConnect', () => loose.watch({ onConnect: true }), /^onConnect must be a function/)
})

const named = (...names: string[]) => everywhere.filter(([name]) => names.includes(name))
const writes = named('put', 'putText', 'putRaw', 'patch', 'jsonPatch', 'increment', 'touch')

test.each([...writes, ...named('add')])('%s takes no bad expiry', async (name, call) => {
  for (const expireIn of [
    0,
    -1,
    Number.NaN,
    Infinity,
    '',
    'soon',
    '1w',
    '-5s',
    '5 m',
    '1h30m',
    null,
    {},
    new Date(),
  ])
    await expectInputError(name, () => call({ expireIn }), /^expireIn must be a number of seconds/)
  for (const expireAt of [
    0,
    Date.now(),
    '',
    'tomorrow',
    '2030-01-01',
    '2030-01-01 12:00:00Z',
    '2030-01-01T12:00:00',
    new Date('x'),
    {},
  ])
    await expectInputError(name, () => call({ expireAt }), /^expireAt must be a Date or a time/)
  await expectInputError(name, () => call({ expireIn: 5, expireAt: new Date() }), /both given/)
})

test('a touch needs an expiry, and so does an increment that sets one when it creates', async () => {
  for (const options of [undefined, {}, { expireIn: undefined }, { ifRevision: 1 }])
    await expectInputError('touch', () => loose.touch('k', options), /^a touch needs expireIn or expireAt/)
  for (const [ifCreated, message] of [
    [5, /expected an object of options/],
    [{ ttl: 5 }, /there is no option "ttl"; known are expireIn, expireAt/],
    [{ expireIn: 'soon' }, /^expireIn must be/],
    [{ expireIn: 5, expireAt: null }, /both given/],
  ] as const)
    await expectInputError('ifCreated', () => loose.increment('k', 1, { ifCreated }), message)
})

test('many are read by keys and members that can be', async () => {
  for (const keys of [undefined, 'k', { a: 1 }])
    await expectInputError(`${keys}`, () => loose.getMany(keys), /^the keys must be an array/)
  for (const key of ['', 5, undefined])
    await expectInputError(`${key}`, () => loose.getMany(['a', key]), /^members\[1\]: key must be/)
  for (const [members, message] of [
    [undefined, /^the members must be an array/],
    [['k'], /^members\[0\]: expected an object/],
    [[{ key: 'k' }], /^members\[0\]: collection must be/],
    [[{ collection: 'c', key: 'k', revision: 1 }], /^members\[0\]: there is no field "revision"/],
  ] as const)
    await expectInputError(`${message}`, () => looseKvist.getMany(members), message)
})

test('an expiry is sent as the server reads it', async () => {
  const sent: string[] = []
  const fine = new Kvist('http://k', {
    fetch(url) {
      sent.push(url)
      return Promise.resolve(Response.json({}))
    },
  }).collection<unknown>('c')
  await fine.put('k', 1, { expireIn: 1.5 })
  await fine.put('k', 1, { expireIn: '1.5h' })
  await fine.put('k', 1, { expireIn: undefined, expireAt: new Date(0) })
  await fine.put('k', 1, { expireAt: '2030-01-31T12:00:00+01:00' })
  await fine.put('k', 1, { expireAt: null })
  await fine.put('k', 1, { expireIn: 'never' })
  await fine.put('k', 1)
  const path = 'http://k/v1/c/k?'
  expect(sent).toEqual([
    `${path}expire_in=1.5`,
    `${path}expire_in=1.5h`,
    `${path}expire_at=1970-01-01T00%3A00%3A00.000Z`,
    `${path}expire_at=2030-01-31T12%3A00%3A00%2B01%3A00`,
    `${path}expire_in=never`,
    `${path}expire_in=never`,
    'http://k/v1/c/k',
  ])
})

test.each([...writes, ...named('delete')])('%s takes no bad condition', async (name, call) => {
  for (const ifRevision of [undefined, null, 0, -1, 1.5, Number.NaN, '5', '"5"', '*', {}])
    await expectInputError(name, () => call({ ifRevision }), /^ifRevision must be a revision or "any"/)
  for (const create of [1, 'true', null, {}])
    await expectInputError(name, () => call({ create }), /^create must be true or false/)
})

test('a content type is one', async () => {
  for (const contentType of [
    '',
    'json',
    'text/',
    'text/plain\r\nx: y',
    'text/plän',
    'text /plain',
    5,
    null,
  ]) {
    for (const name of ['put', 'putText'] as const)
      await expectInputError(
        `${contentType}`,
        () => loose[name]('k', 'x', { contentType }),
        /^contentType must be a content type/,
      )
    await expectInputError(`${contentType}`, () => loose.add('x', { contentType }), /^contentType must be/)
    await expectInputError(
      `${contentType}`,
      () => loose.putRaw('k', 'x', contentType),
      /^the content type must be/,
    )
    await expectInputError(
      `${contentType}`,
      () => loose.import([{ key: 'k', value: 'x', content_type: contentType }]),
      /^item 1: content_type must be/,
    )
  }
  await expectInputError('undefined', () => loose.putRaw('k', 'x'), /^the content type must be/)
})

test('an increment adds a number that there is, where a JSON pointer can point', async () => {
  for (const by of [Number.NaN, Infinity, '5', 1n, null, {}])
    await expectInputError(
      `${by}`,
      () => loose.increment('k', by),
      /^the number to add must be a finite number/,
    )
  for (const path of ['visits', 5, null, '\ud800'])
    await expectInputError(`${path}`, () => loose.increment('k', 1, { path }), /^path must be a JSON pointer/)
})

test('operations of a JSON patch and settings have the fields that there are', async () => {
  for (const [operations, message] of [
    [undefined, /^the operations must be an array/],
    [{ op: 'add' }, /^the operations must be an array/],
    [[null], /^operations\[0\]: op must be "add" or/],
    [[{ op: 'put', path: '' }], /^operations\[0\]: op must be/],
    [[{ op: 'add', path: 'a', value: 1 }], /^operations\[0\]: path must be a JSON pointer/],
    [[{ op: 'add', path: '/a' }], /^operations\[0\]: the value is undefined/],
    [[{ op: 'test', path: '/a', value: 1, from: '/b' }], /^operations\[0\]: there is no field "from"/],
    [[{ op: 'remove', path: '/a', value: 1 }], /^operations\[0\]: there is no field "value"/],
    [[{ op: 'move', path: '/a' }], /^operations\[0\]: from must be a JSON pointer/],
  ] as const)
    await expectInputError(`${message}`, () => loose.jsonPatch('k', operations), message)
  for (const [settings, message] of [
    [undefined, /expected an object/],
    [{ ttl: 5 }, /there is no field "ttl"; known are processes, default_ttl, sliding, max_members/],
    [{ default_ttl: 'soon' }, /^default_ttl must be/],
    [{ processes: 'mark' }, /^processes must be/],
    [{ processes: [1] }, /^processes must be/],
    [{ sliding: 'yes' }, /^sliding must be/],
    [{ max_members: 0 }, /^max_members must be/],
    [{ max_members: '5' }, /^max_members must be/],
    [{ max_bytes: 'much' }, /^max_bytes must be a number of bytes, or a size such as "64MiB"/],
    [{ max_bytes: 1.5 }, /^max_bytes must be/],
    [{ max_value_bytes: true }, /^max_value_bytes must be/],
    [{ max_value_bytes: '1 parsec' }, /^max_value_bytes must be/],
    [{ indexes: 'by_country' }, /^indexes must be an array of indexes/],
    [{ indexes: ['by_country'] }, /^indexes must be/],
  ] as const)
    await expectInputError(`${message}`, () => loose.setSettings(settings), message)
  for (const ifRevision of [undefined, 0, 'any', '12'])
    await expectInputError(
      `${ifRevision}`,
      () => loose.setSettings({}, { ifRevision }),
      /^ifRevision must be a revision/,
    )
})

test('parts of a batch, and items of an import, have the fields that there are', async () => {
  const batch = (given: unknown) => () => looseKvist.batch(given)
  const member = { collection: 'c', key: 'k' }
  const operation = (fields: object) =>
    batch({
      operations: [
        { op: 'delete', ...member },
        { ...member, ...fields },
      ],
    })
  for (const [call, message] of [
    [batch({ operation: [] }), /there is no field "operation"; known are checks, operations, atomic/],
    [batch({ atomic: 1 }), /^atomic must be true or false/],
    [batch({ atomic: false, checks: [{ ...member, revision: 1 }] }), /that is not atomic has no checks/],
    [batch([]), /expected an object/],
    [batch(undefined), /expected an object/],
    [batch({ operations: {} }), /^operations must be an array/],
    [batch({ checks: 'x' }), /^checks must be an array/],
    [batch({ checks: [null] }), /^checks\[0\]: expected an object/],
    [batch({ checks: [member] }), /^checks\[0\]: revision must be a revision, or null/],
    [batch({ checks: [{ ...member, revision: 0 }] }), /^checks\[0\]: revision must be/],
    [batch({ checks: [{ ...member, revision: 1, if: 1 }] }), /^checks\[0\]: there is no field "if"/],
    [batch({ operations: [null] }), /^operations\[0\]: op must be/],
    [operation({}), /^operations\[1\]: op must be "put" or "delete" or/],
    [operation({ op: 'toString' }), /^operations\[1\]: op must be/],
    [operation({ op: 'delete', value: 1 }), /^operations\[1\]: there is no field "value"/],
    [operation({ op: 'put' }), /^operations\[1\]: the value is undefined/],
    [operation({ op: 'put', value: 1, ttl: 5 }), /^operations\[1\]: there is no field "ttl"/],
    [operation({ op: 'put', value: 1, expireIn: 5 }), /^operations\[1\]: there is no field "expireIn"/],
    [operation({ op: 'put', value: 1, expire_in: 'soon' }), /^operations\[1\]: expire_in must be/],
    [operation({ op: 'put', value: 1, expire_at: 5 }), /^operations\[1\]: expire_at must be/],
    [operation({ op: 'put', value: 1, expire_in: 5, expires_at: null }), /^operations\[1\]: .*both given/],
    [
      operation({ op: 'put', value: {}, content_type: 'text/plain' }),
      /^operations\[1\]: the value must be bytes or/,
    ],
    [operation({ op: 'put', value: 'x', content_type: 'text' }), /^operations\[1\]: content_type must be/],
    [operation({ op: 'touch' }), /^operations\[1\]: a touch needs expire_in or expire_at/],
    [operation({ op: 'touch', expire_in: 5, expire_at: null }), /^operations\[1\]: .*both given/],
    [operation({ op: 'increment', if_created: 5 }), /^operations\[1\]: if_created: expected an object/],
    [
      operation({ op: 'increment', if_created: { ttl: 5 } }),
      /^operations\[1\]: if_created: there is no field "ttl"/,
    ],
    [
      operation({ op: 'increment', if_created: { expire_in: 0 } }),
      /^operations\[1\]: if_created: expire_in must be/,
    ],
    [operation({ op: 'increment', by: Number.NaN }), /^operations\[1\]: by must be/],
    [operation({ op: 'increment', path: 'n' }), /^operations\[1\]: path must be/],
  ] as const)
    await expectInputError(`${message}`, call, message)

  const fine = { key: 'a', value: 1 }
  for (const [item, message] of [
    [null, /^item 2: expected an object/],
    ['a', /^item 2: expected an object/],
    [{ value: 1 }, /^item 2: key must be a text/],
    [{ key: 5, value: 1 }, /^item 2: key must be a text/],
    [{ key: 'k' }, /^item 2: the value is undefined/],
    [{ key: 'k', value: 1, ttl: 5 }, /^item 2: there is no field "ttl"; known are key, value/],
    [{ key: 'k', value: 1, expireIn: 5 }, /^item 2: there is no field "expireIn"/],
    [{ key: 'k', value: 1, expire_in: Number.NaN }, /^item 2: expire_in must be/],
    [{ key: 'k', value: 1, expires_at: 'x' }, /^item 2: expires_at must be/],
    [{ key: 'k', value: 1, expire_in: 5, expires_at: null }, /^item 2: .*both given/],
    [{ key: 'k', value: 1, flags: -1 }, /^item 2: flags must be/],
    [{ key: 'k', value: { a: new Set() } }, /^item 2: the value\.a is a Set/],
  ] as const)
    await expectInputError(`${message}`, () => loose.import([fine, item]), message)
  for (const items of [undefined, null, 5, {}])
    await expectInputError(`${items}`, () => loose.import(items), /^the items must be/)
})

test('a client is made with a URL, a token and options that can be', async () => {
  const client = (url: unknown, options?: unknown) => () => new Kvist(url as string, options as object)
  for (const url of [
    '',
    'localhost:7070',
    'ftp://localhost',
    'http://',
    'http://h?',
    'http://h#',
    'http://h?a',
    'http://h#a',
    'http://u:p@h',
    'http://h/\ud800',
    undefined,
    null,
    5,
  ])
    await expectInputError(`${url}`, client(url), /the URL of a server/)
  for (const token of ['', 'a b', 'a\n', 'ü', ' a', 'x'.repeat(4097), null, 5]) {
    await expectInputError(
      `${token}`,
      client('http://h', { token }),
      /^the token must be 1 to 4096 visible ASCII/,
    )
  }
  for (const [options, message] of [
    [{ tokn: 'x' }, /there is no option "tokn"; known are token, tls, fetch, timeoutMs, retries/],
    [{ timeoutMs: -1 }, /^timeoutMs must be/],
    [{ retries: 0.5 }, /^retries must be/],
    [{ fetch: 'x' }, /^fetch must be a function/],
    ['token', /expected an object/],
  ] as const)
    await expectInputError(`${message}`, client('http://h', options), message)
  await expectInputError(
    'parse',
    () => kvist.collection('c', { parse: 'x' } as never),
    /^parse must be a function/,
  )
  await expectInputError('a secret', client('http://h', { token: 'a b' }), /^the token must ((?!a b).)*$/)
})
