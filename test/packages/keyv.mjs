import assert from 'node:assert/strict'
import { afterEach, beforeEach, it } from 'node:test'
import suite, { keyvIteratorTests } from '@keyv/test-suite'
import { Keyv } from 'keyv'
import { Keyv as Keyv6 } from 'keyv-6'
import { KvistKeyv } from 'kvist-keyv'

/**
 * Keyv's own test suite, and what it leaves out. The suite is written for vitest, but takes its functions as a parameter:
 * here they are those of Node, with the comparisons that the suite uses.
 */

const url = process.env.KVIST_URL

let comparisons = 0

function expect(given) {
  comparisons += 1
  return {
    toBe: (expected) => assert.equal(given, expected),
    toEqual: (expected) => assert.deepEqual(given, expected),
    toBeTruthy: () => assert.ok(given),
    toBeFalsy: () => assert.ok(!given),
    toBeNull: () => assert.equal(given, null),
    toBeUndefined: () => assert.equal(given, undefined),
    toBeDefined: () => assert.notEqual(given, undefined),
  }
}

/** Runs a test of the suite, and checks that it made as many comparisons as it announced. */
async function runTest(run) {
  let announced = null
  expect.assertions = (count) => {
    announced = count
  }
  comparisons = 0
  await run({ expect })
  assert.ok(announced === null || comparisons === announced, `${comparisons} comparisons, not ${announced}`)
}

const functions = { beforeEach, afterEach, it: (name, run) => it(name, () => runTest(run)) }
const store = () => new KvistKeyv(url)

suite(functions, Keyv, store)
keyvIteratorTests(functions, Keyv, store)

it('what has expired is gone from the server', async () => {
  const short = new KvistKeyv(url, { collection: 'short' })
  await short.set('a', 'text', 50)
  await short.setMany([
    { key: 'b', value: 'text', ttl: 50 },
    { key: 'c', value: 'text' },
  ])
  await new Promise((resolve) => setTimeout(resolve, 80))
  assert.deepEqual(await short.hasMany(['a', 'b', 'c']), [false, false, true])
})

it('many at once, in all kinds of values', async () => {
  const many = new KvistKeyv(url, { collection: 'many' })
  const values = [
    'text',
    '"JSON"',
    '\ufeff',
    '',
    9,
    null,
    { list: [1, { a: 'b' }] },
    new Uint8Array([1, 0, 255]),
  ]
  assert.deepEqual(
    await many.setMany(values.map((value, i) => ({ key: `k${i}`, value }))),
    values.map(() => true),
  )
  const keys = values.map((_, i) => `k${i}`)
  assert.deepEqual(await many.getMany([...keys, 'none']), [...values, undefined])
  for (const [i, key] of keys.entries()) assert.deepEqual(await many.get(key), values[i])
  assert.equal(await many.deleteMany(['none']), false)
  assert.equal(await many.deleteMany(['none', ...keys]), true)
  assert.deepEqual(
    await many.getMany(keys),
    keys.map(() => undefined),
  )
})

it('what the server refuses is an error', async () => {
  const refused = new KvistKeyv(url, { collection: 'refused' })
  const tooLong = 'k'.repeat(513)
  await assert.rejects(refused.set(tooLong, 'v'), /512 bytes/)
  await assert.rejects(
    refused.setMany([
      { key: 'good', value: 'v' },
      { key: tooLong, value: 'v' },
    ]),
    /entry 2: .*512 bytes/,
  )
  assert.equal(await refused.get('good'), 'v')
  const keyv = new Keyv({ store: refused })
  const reported = new Promise((resolve) => keyv.once('error', resolve))
  await keyv.set(tooLong, 'v')
  assert.match((await reported).message, /512 bytes/)
  assert.throws(() => new KvistKeyv('ftp://host'), /http/)
  assert.throws(() => new KvistKeyv(url, { colection: 'typo' }), /colection/)
})

it('Keyv 6 works, too', async () => {
  const users = new Keyv6({ store: new KvistKeyv(url, { collection: 'keyv-6' }), namespace: 'users' })
  const others = new Keyv6({ store: new KvistKeyv(url, { collection: 'keyv-6' }), namespace: 'others' })
  await users.set('ada', { visits: 1 }, 60_000)
  await others.set('ada', 'other')
  await users.setMany([
    { key: 'bob', value: 2 },
    { key: 'carl', value: 3, ttl: 60_000 },
  ])
  assert.deepEqual(await users.get('ada'), { visits: 1 })
  assert.deepEqual(await users.getMany(['bob', 'none', 'carl']), [2, undefined, 3])
  assert.deepEqual(await users.hasMany(['bob', 'none']), [true, false])
  const entries = []
  for await (const [key] of users.iterator()) entries.push(key)
  assert.deepEqual(entries, ['ada', 'bob', 'carl'])
  await users.deleteMany(['bob', 'carl'])
  await users.clear()
  assert.equal(await users.get('ada'), undefined)
  assert.equal(await others.get('ada'), 'other')
})
