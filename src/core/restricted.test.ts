import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { faultOf } from '../../test/support/engine.ts'
import { openTestEngine } from '../../test/support/test-engine.ts'
import { msToStamp } from './clock.ts'
import type { CollectionPage } from './collection-page.ts'
import { type Database, openDatabase } from './database.ts'
import type { MemberRef } from './engine.ts'
import type { ForeignWrite } from './foreign-write.ts'
import { parseGrants } from './grants.ts'
import { everything, type ListQuery } from './list.ts'
import { jsonContentType } from './member.ts'
import { parsePatchOperations } from './patch.ts'
import { isWithin, permitsOf } from './permits.ts'
import { restricted } from './restricted.ts'
import { noSettings } from './settings.ts'
import type { Store } from './store.ts'

let db: Database
const nowMs = 1000

beforeAll(async () => {
  db = await openDatabase({
    open: openTestEngine,
    cacheBytes: 1 << 20,
    now: () => nowMs,
    onError(error) {
      throw error
    },
  })
})
afterAll(() => db.close())

const noVisits = { stored() {}, undo() {}, member() {} }
const content = { value: '1', contentType: jsonContentType, flags: 0, expiresAtMs: null }
const query: ListQuery = { ...everything, order: 'asc', limit: 100, cursor: null, keysOnly: false }

function storeOf(...grants: unknown[]) {
  return restricted(db, { id: 'id', name: 'app', permits: permitsOf(parseGrants(grants)) })
}

/** A write of another node. */
function foreign(ref: MemberRef): ForeignWrite {
  const origin = { node: 'n1', clock: msToStamp(nowMs), createdAtMs: nowMs }
  return { op: 'put', ...ref, ...content, origin }
}

async function codeOf(work: () => unknown): Promise<string> {
  try {
    await work()
    return 'done'
  } catch (error) {
    return (await faultOf(Promise.reject(error))).code
  }
}

describe('one member', () => {
  const ref = (key: string) => ({ collection: 'one', key })
  const store = () => storeOf({ collections: 'one', key_prefix: 'a/', can: ['read', 'write', 'replicate'] })
  const scope = (key: string) => ({ collection: 'one', key, prefix: null, filter: null })
  const rangeOf = (key: string) => ({ collection: 'one', from: key, to: `${key}0`, atMs: nowMs })

  const verbs: Record<string, (key: string) => unknown> = {
    get: (key) => store().get('one', key),
    getHead: (key) => store().getHead('one', key),
    getPart: (key) => store().getPart(ref(key), { revision: 1, clock: 1 }, 0, 1),
    readMany: (key) => store().readMany([ref('a/1'), ref(key)]),
    visitMany: (key) => store().visitMany([ref('a/1'), ref(key)], 100, noVisits),
    requireReplicable: (key) => store().requireReplicable(foreign(ref(key))),
    replicate: (key) => store().replicate([foreign(ref('a/1')), foreign(ref(key))]),
    removalCause: (key) => store().removalCause('one', key),
    digests: (key) => store().digests({ ...rangeOf(key), ends: null, members: 10 }),
    versions: (key) => store().versions({ ...rangeOf(key), limit: 10 }),
    states: (key) => store().states([ref('a/1'), ref(key)], nowMs),
    latestChange: (key) => store().latestChange(ref(key)),
    execute: (key) => store().execute({ operations: [{ op: 'put', ...ref(key), ...content }] }),
    'execute several': (key) =>
      store().execute({
        operations: [
          { op: 'put', ...ref('a/1'), ...content },
          { op: 'put', ...ref(key), ...content },
        ],
      }),
    checks: (key) =>
      store()
        .execute({ checks: [{ ...ref(key), revision: null }], operations: [] })
        .catch((error) => {
          if (error.code !== 'precondition_failed') throw error
        }),
    prepare: (key) => store().prepare(ref(key), content, []),
    put: (key) => store().put('one', key, content),
    patch: (key) =>
      store()
        .patch(ref(key), { kind: 'increment', path: '', by: 1 })
        .catch((error) => {
          if (error.code !== 'unprocessable') throw error
        }),
    touch: (key) => store().touch(ref(key), 'never'),
    update: (key) => store().update(ref(key), () => null),
    delete: (key) => store().delete('one', key),
    requireGranted: (key) => store().requireGranted('read', ref(key)),
    'requireGranted write': (key) => store().requireGranted('write', ref(key)),
    putUnmirrored: (key) => store().putUnmirrored(ref(key), content),
    deleteUnmirrored: (key) => store().deleteUnmirrored(ref(key)),
    changes: (key) => store().changes(scope(key), '', 10),
    watch: (key) =>
      store()
        .watch(scope(key), null, () => {})
        .close(),
  }

  test.each(Object.keys(verbs))('is refused to %s outside of the grant, with nothing done', async (verb) => {
    await db.put('one', 'a/1', content)
    const before = await db.changes({ ...scope('a/1'), key: null }, '', 1000)
    for (const key of ['b', 'a', '', 'A/1', 'á/1', 'a\\1', 'b/../a/1']) {
      expect(await codeOf(() => verbs[verb]!(key))).toBe('forbidden')
    }
    const after = await db.changes({ ...scope('a/1'), key: null }, '', 1000)
    expect(after.next).toBe(before.next)
  })

  test.each(Object.keys(verbs))('within the grant is allowed to %s', async (verb) => {
    await db.put('one', 'a/1', content)
    for (const key of ['a/1', 'a/', 'a/../b']) expect(await codeOf(() => verbs[verb]!(key))).toBe('done')
  })

  test('is in all verbs of the store but those that are tested below', () => {
    const ofCollections = ['collectionPage', 'collectionVersion', 'putAll', 'drop']
    const others = [
      ...['find', 'visitFound', 'findAll', 'page', 'visitPage', 'all', ...ofCollections],
      'comparedCollections',
      'conflicts',
      'settings',
      'settingsRevision',
      'indexesOf',
      'setSettings',
      'checkMembers',
      'checkCursor',
      'nodeId',
    ]
    const tested = [...Object.keys(verbs), ...others]
    expect(Object.keys(store()).filter((verb) => !tested.includes(verb))).toEqual([])
  })

  test('names in the error what is missing', async () => {
    const fault = await store()
      .put('one', 'b', content)
      .catch((error) => error)
    expect(fault.message).toBe('the token of "app" does not grant write on one/b')
    expect(fault.extra).toEqual({ missing: { can: 'write', collection: 'one', key: 'b' } })
  })

  test('may be written without being read, and the other way round', async () => {
    const writer = storeOf({ collections: 'one', can: ['write'] })
    const reader = storeOf({ collections: 'one', can: ['read'] })
    expect(await codeOf(() => writer.put('one', 'x', content))).toBe('done')
    expect(await codeOf(() => writer.get('one', 'x'))).toBe('forbidden')
    expect(await codeOf(() => reader.get('one', 'x'))).toBe('done')
    expect(await codeOf(() => reader.put('one', 'x', content))).toBe('forbidden')
    expect(
      await codeOf(() =>
        reader.execute({ checks: [{ collection: 'one', key: 'y', revision: null }], operations: [] }),
      ),
    ).toBe('done')
  })
})

describe('a write that shows something of the stored value', () => {
  const ref = { collection: 'shows', key: 'n' }
  const increment = { kind: 'increment', path: '', by: 0 } as const
  const tests = {
    kind: 'operations',
    operations: parsePatchOperations('[{"op":"test","path":"","value":1}]'),
  } as const

  const shows: Record<string, (store: Store) => unknown> = {
    'an increment of a batch': (store) =>
      store.execute({ operations: [{ op: 'increment', ...ref, path: '', by: 0 }] }),
    'an increment by patch': (store) => store.patch(ref, increment),
    'a patch of a command': (store) =>
      store.execute({ operations: [{ op: 'patch', ...ref, patch: increment, expiresAtMs: null }] }),
    'a JSON patch, which may test': (store) => store.patch(ref, tests),
    'an update': (store) => store.update(ref, () => null),
  }
  const hides: Record<string, (store: Store) => unknown> = {
    'a put': (store) => store.put('shows', 'n', content),
    'a merge patch': (store) => store.patch(ref, { kind: 'merge', text: '1' }),
    'a merge patch of a command': (store) =>
      store.execute({
        operations: [{ op: 'patch', ...ref, patch: { kind: 'merge', text: '1' }, expiresAtMs: null }],
      }),
    'a touch': (store) => store.touch(ref, 'never'),
    'a delete': (store) => store.delete('other', 'n'),
  }

  test.each(Object.entries(shows))('%s needs to be allowed to read it, too', async (_what, write) => {
    await db.put('shows', 'n', content)
    const writer = storeOf({ collections: 'shows', can: ['write'] })
    const fault = await faultOf(Promise.try(() => write(writer)))
    expect(fault.code).toBe('forbidden')
    expect(fault.extra).toEqual({ missing: { can: 'read', ...ref } })
    expect(await codeOf(() => write(storeOf({ collections: 'shows', can: ['read'] })))).toBe('forbidden')
    expect(await codeOf(() => write(storeOf({ collections: 'shows', can: ['read', 'write'] })))).toBe('done')
  })

  test.each(Object.entries(hides))('%s does not', async (_what, write) => {
    expect(await codeOf(() => write(storeOf({ collections: '*', can: ['write'] })))).toBe('done')
  })
})

describe('a comparison of nodes', () => {
  const at = { from: null, to: null, atMs: nowMs }
  const digests = (store: Store, collection: string) =>
    codeOf(() => store.digests({ ...at, collection, ends: null, members: 1 }))

  test('sees the settings with replicate everywhere, and tokens only with admin as well', async () => {
    const node = storeOf({ collections: '*', can: ['replicate'] })
    const trusted = storeOf({ collections: '*', can: ['replicate', 'admin'] })
    const some = storeOf({ collections: 'one', can: ['replicate', 'admin'] })
    const codes = async (store: Store) => [await digests(store, '_settings'), await digests(store, '_tokens')]
    expect(await codes(node)).toEqual(['done', 'forbidden'])
    expect(await codes(trusted)).toEqual(['done', 'done'])
    expect(await codes(some)).toEqual(['forbidden', 'forbidden'])
    const token = { collection: '_tokens', key: 't' }
    expect(await codeOf(() => node.states([token], 0))).toBe('forbidden')
    expect(await codeOf(() => node.latestChange(token))).toBe('forbidden')
    expect(await codeOf(() => trusted.latestChange(token))).toBe('done')
  })

  test('names the collections in reach, and says of which it sees only a part', async () => {
    await db.put('one', 'a', content)
    await db.put('two', 'a', content)
    await db.setSettings('one', { ...noSettings, maxMembers: 100_000 })
    const names = async (...grants: unknown[]) =>
      (await storeOf(...grants).comparedCollections()).flatMap(({ name, members }) =>
        ['one', 'two', '_settings'].includes(name) ? [[name, members !== null]] : [],
      )
    const sorted = async (...grants: unknown[]) => (await names(...grants)).toSorted()
    expect(await sorted({ collections: '*', can: ['replicate'] })).toEqual([
      ['_settings', true],
      ['one', true],
      ['two', true],
    ])
    expect(await sorted({ collections: 'one', key_prefix: 'a', can: ['replicate'] })).toEqual([
      ['_settings', false],
      ['one', false],
    ])
    expect(await codeOf(() => storeOf({ collections: '*', can: ['read'] }).comparedCollections())).toBe(
      'forbidden',
    )
  })
})

describe('changes of other nodes', () => {
  const codesOf = async (collection: string, key: string, ...grants: unknown[]) => {
    const write = foreign({ collection, key })
    const store = storeOf(...grants)
    return [await codeOf(() => store.requireReplicable(write)), await codeOf(() => store.replicate([write]))]
  }
  const [done, forbidden] = [Array(2).fill('done'), Array(2).fill('forbidden')]

  test('need replicate on the member, which nothing else contains', async () => {
    const others = { collections: 'nodes', can: ['read', 'write', 'admin'] }
    expect(await codesOf('nodes', 'a', others)).toEqual(forbidden)
    expect(await codesOf('nodes', 'a', { collections: 'nodes', can: ['replicate'] })).toEqual(done)
  })

  test('of settings need it on all of their collection', async () => {
    const some = { collections: 'nodes', key_prefix: 'a', can: ['replicate', 'admin'] }
    expect(await codesOf('_settings', 'nodes', some)).toEqual(forbidden)
    expect(await codesOf('_settings', 'others', { collections: 'nodes', can: ['replicate'] })).toEqual(
      forbidden,
    )
    for (const key of ['_tokens', '_settings', '_'])
      expect(await codesOf('_settings', key, { collections: '*', can: ['replicate', 'admin'] })).toEqual(
        forbidden,
      )
  })

  test('of tokens need it on everything, and admin, as who may create tokens may do everything', async () => {
    for (const collection of ['_tokens', '_token_uses', '_idempotency', '_x']) {
      for (const can of [['replicate'], ['admin'], ['read', 'write', 'admin']])
        expect(await codesOf(collection, 'k', { collections: '*', can })).toEqual(forbidden)
      const some = { collections: '*', key_prefix: 'k', can: ['replicate', 'admin'] }
      expect(await codesOf(collection, 'k', some)).toEqual(forbidden)
      expect(await codesOf(collection, 'k', { collections: 'n*', can: ['replicate', 'admin'] })).toEqual(
        forbidden,
      )
    }
    expect(await codesOf('_x', 'k', { collections: '*', can: ['replicate', 'admin'] })).toEqual(done)
  })
})

describe('an import', () => {
  test('stores what is within the grant, and rejects the rest by index', async () => {
    const store = storeOf({ collections: 'import', key_prefix: 'a', can: ['write'] })
    const keys = ['b', 'a1', 'c', 'a2']
    const rejected = await store.putAll(
      'import',
      keys.map((key) => ({ ...content, key })),
    )
    expect(rejected.map(({ index, error }) => [index, error.code])).toEqual([
      [0, 'forbidden'],
      [2, 'forbidden'],
    ])
    expect((await db.page('import', query)).members.map(({ key }) => key)).toEqual(['a1', 'a2'])
    expect(await codeOf(() => store.putAll('other', []))).toBe('forbidden')
  })

  test('names what the store rejects by its index among all', async () => {
    await db.setSettings('limited', { ...noSettings, maxValueBytes: 3 })
    const store = storeOf({ collections: 'limited', key_prefix: 'a', can: ['write'] })
    const members = [
      { key: 'b', value: '1' },
      { key: 'a1', value: '1' },
      { key: 'a2', value: '10000' },
      { key: 'a3', value: '1' },
    ]
    const rejected = await store.putAll(
      'limited',
      members.map((member) => ({ ...content, ...member })),
    )
    expect(rejected.map(({ index, error }) => [index, error.code])).toEqual([
      [0, 'forbidden'],
      [2, 'quota_exceeded'],
    ])
  })
})

describe('what concerns a collection', () => {
  test('a drop is done whole or not at all', async () => {
    for (const key of ['a1', 'a2', 'b']) await db.put('drop', key, content)
    const store = storeOf({ collections: 'drop', key_prefix: 'a', can: ['admin'] })
    const select = (prefix: string) => ({ ...everything, prefix })
    for (const prefix of ['', 'b'])
      expect(await codeOf(() => store.drop('drop', select(prefix)))).toBe('forbidden')
    expect(
      await codeOf(() => storeOf({ collections: 'drop', can: ['read', 'write'] }).drop('drop', everything)),
    ).toBe('forbidden')
    expect(await store.drop('drop', select('a1'))).toBe(1)
    expect((await db.page('drop', query)).members.map(({ key }) => key)).toEqual(['a2', 'b'])
  })

  test('settings need admin on all of it, and anything to be read', async () => {
    const set = (...grants: unknown[]) => codeOf(() => storeOf(...grants).setSettings('set', noSettings))
    expect(await set({ collections: 'set', can: ['admin'] })).toBe('done')
    expect(await set({ collections: 'set', key_prefix: 'a', can: ['admin'] })).toBe('forbidden')
    expect(await set({ collections: 'set', can: ['read', 'write'] })).toBe('forbidden')
    for (const read of ['settings', 'settingsRevision'] as const) {
      expect(await codeOf(() => storeOf({ collections: 'set', can: ['write'] })[read]('set'))).toBe('done')
      expect(await codeOf(() => storeOf({ collections: 'x', can: ['write'] })[read]('set'))).toBe('forbidden')
    }
  })

  test('the list of collections has those with something to read', async () => {
    for (const [collection, key] of [
      ['l1', 'a1'],
      ['l2', 'a1'],
      ['l3', 'b1'],
      ['l4', 'a1'],
    ] as const)
      await db.put(collection, key, content)
    const store = storeOf(
      { collections: 'l1', can: ['read'] },
      { collections: 'l2', key_prefix: 'a', can: ['read'] },
      { collections: 'l3', key_prefix: 'a', can: ['read'] },
      { collections: 'l4', can: ['write'] },
    )
    const list = (limit: number, from: string | null = null) =>
      store.collectionPage({ prefix: 'l', from, limit })
    expect(await list(100)).toEqual({
      collections: [
        { name: 'l1', members: 1, bytes: 3 },
        { name: 'l2', members: null, bytes: null },
      ],
      next: null,
    })
    expect((await list(1)).next).toBe('l2')
    expect(await list(1, 'l2')).toEqual({
      collections: [{ name: 'l2', members: null, bytes: null }],
      next: null,
    })
    // Neither names nor cursors show that there is l3, of which nothing is within reach.
    const some = storeOf({ collections: 'l*', key_prefix: 'a', can: ['read'] })
    const names: string[] = []
    for (let from: string | null = 'l'; from !== null; ) {
      const page: CollectionPage = await some.collectionPage({ prefix: 'l', from, limit: 1 })
      names.push(...page.collections.map(({ name }) => name), `next ${page.next}`)
      from = page.next
    }
    expect(names.filter((name) => /l\d$/.test(name))).toEqual(['l1', 'next l2', 'l2', 'next l4', 'l4'])
    const writer = storeOf({ collections: '*', can: ['write'] })
    expect(await codeOf(() => writer.collectionPage({ prefix: '', from: null, limit: 1 }))).toBe('forbidden')
  })

  test('the list of collections finds those within reach among many that are not', async () => {
    const names = Array.from({ length: 2100 }, (_, i) => `many${String(i).padStart(4, '0')}`)
    const isWithinReach = (name: string) => /(?:0500|0999|1000|1001|2099)$/.test(name)
    await db.write(
      names.map((name) => ({
        op: 'put' as const,
        collection: name,
        key: isWithinReach(name) ? 'a' : 'b',
        ...content,
      })),
    )
    const store = storeOf({ collections: 'many*', key_prefix: 'a', can: ['read'] })
    const pages: unknown[] = []
    for (let from: string | null = ''; from !== null; ) {
      const page: CollectionPage = await store.collectionPage({ prefix: 'many', from, limit: 2 })
      pages.push([page.collections.map(({ name }) => name.slice(4)), page.next?.slice(4) ?? null])
      from = page.next
    }
    expect(pages).toEqual([
      [['0500', '0999'], '1000'],
      [['1000', '1001'], '2099'],
      [['2099'], null],
    ])
  })

  test('a list has another version for each viewer who does not see all of it', async () => {
    await db.put('ver', 'a', content)
    const version = await db.collectionVersion('ver', everything)
    expect(await storeOf({ collections: 'ver', can: ['read'] }).collectionVersion('ver', everything)).toBe(
      version,
    )
    const other = await storeOf({ collections: 'ver', key_prefix: 'a', can: ['read'] }).collectionVersion(
      'ver',
      everything,
    )
    expect(other).not.toBe(version)
    const outside = storeOf({ collections: 'ver', key_prefix: 'a', can: ['read'] })
    expect(await codeOf(() => outside.collectionVersion('ver', { ...everything, prefix: 'b' }))).toBe(
      'forbidden',
    )
  })
})

describe('lists', () => {
  const seed = Math.floor(Math.random() * 1e9)
  const characters = ['a', 'b', '/', 'é', '😀']
  let state = seed
  const random = (below: number) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    return (state >>> 8) % below
  }
  const text = (most: number) =>
    Array.from({ length: random(most + 1) }, () => characters[random(5)]).join('')

  test(`are those of all members, without what is out of reach (seed ${seed})`, async () => {
    for (let i = 0; i < 150; i++) await db.put('list', `k${text(4)}`, content)
    for (let round = 0; round < 150; round++) {
      const prefixes = Array.from({ length: 1 + random(3) }, () => `k${text(2)}`)
      const store = storeOf(
        ...prefixes.map((one) => ({ collections: 'list', key_prefix: one, can: ['read'] })),
      )
      const asked: ListQuery = {
        ...query,
        prefix: random(2) === 0 ? '' : `k${text(1)}`,
        from: random(3) === 0 ? `k${text(2)}` : null,
        to: random(3) === 0 ? `k${text(2)}` : null,
        order: random(2) === 0 ? 'asc' : 'desc',
        delimiter: random(2) === 0 ? '/' : null,
        limit: 1 + random(5),
      }
      const whole = await db.page('list', { ...asked, delimiter: null, limit: 1000 })
      const keys = whole.members.map(({ key }) => key).filter((key) => isWithin(prefixes, key))
      const expected = new Set(
        keys.map((key) => {
          const at = asked.delimiter ? key.indexOf('/', asked.prefix.length) : -1
          return at === -1 ? key : `${key.slice(0, at + 1)} …`
        }),
      )
      const found: string[] = []
      let cursor: string | null = null
      do {
        const code = await codeOf(() => store.page('list', { ...asked, cursor }))
        if (code === 'forbidden') break
        const page: Awaited<ReturnType<typeof store.page>> = await store.page('list', { ...asked, cursor })
        expect(page.members.length + page.prefixes.length).toBeLessThanOrEqual(asked.limit)
        found.push(...page.members.map(({ key }) => key), ...page.prefixes.map((one) => `${one} …`))
        cursor = page.next
      } while (cursor !== null)
      expect(found.toSorted()).toEqual([...expected].toSorted())
      if (found.length === 0) continue
      const streamed: string[] = []
      for await (const members of store.all('list', { ...asked, delimiter: null }))
        streamed.push(...members.map(({ key }) => key))
      expect(streamed).toEqual(keys)
    }
  })

  test('of keys out of reach are forbidden', async () => {
    await db.put('list', 'z', content)
    const store = storeOf({ collections: 'list', key_prefix: 'k', can: ['read'] })
    expect(await codeOf(() => store.page('list', { ...query, prefix: 'z' }))).toBe('forbidden')
    expect(await codeOf(() => store.visitPage('list', { ...query, prefix: 'z' }, noVisits))).toBe('forbidden')
    expect(store.visitPage('list', query, noVisits)).toBeNull()
    expect(await codeOf(() => store.page('list', { ...query, from: 'l' }))).toBe('forbidden')
    expect(await codeOf(() => store.page('others', query))).toBe('forbidden')
    expect(await codeOf(() => store.page('others', { ...query, from: 'b', to: 'a' }))).toBe('forbidden')
    expect(await codeOf(() => store.page('_settings', query))).toBe('forbidden')
    expect(await codeOf(() => store.all('others', query).next())).toBe('forbidden')
    expect((await store.page('list', { ...query, from: 'b', to: 'a' })).members).toEqual([])
  })
})

describe('the feed', () => {
  const whole = { collection: null, key: null, prefix: null, filter: null }

  test('has what is within reach, and its cursors are those of all readers', async () => {
    const { next: start } = await db.changes(whole, '', 10_000)
    for (const [collection, key] of [
      ['f1', 'a'],
      ['f2', 'a'],
      ['f1', 'b'],
      ['f3', 'a'],
    ] as const)
      await db.put(collection, key, content)
    await db.delete('f1', 'a')
    const store = storeOf(
      { collections: 'f1', key_prefix: 'a', can: ['read'] },
      { collections: 'f3', can: ['read'] },
    )
    const page = await store.changes(whole, start, 100)
    const keys = page.events.map(({ change }) => `${change.collection} ${change.type}`)
    expect(keys).toEqual(['f3 put', 'f1 delete'])
    expect(page.next).toBe((await db.changes(whole, start, 100)).next)
    const other = await storeOf({ collections: 'f1', can: ['read'] }).changes(
      whole,
      page.events[0]!.cursor,
      100,
    )
    expect(other.events.map(({ change }) => change.type)).toEqual(['delete'])
    const ofOne = (prefix: string | null) => store.changes({ ...whole, collection: 'f1', prefix }, start, 100)
    expect((await ofOne(null)).events.length).toBe(1)
    expect((await ofOne('a')).events.length).toBe(1)
    expect(await codeOf(() => ofOne('b'))).toBe('forbidden')
    expect(await codeOf(() => store.changes({ ...whole, collection: 'f2' }, start, 100))).toBe('forbidden')
    expect(await codeOf(() => storeOf({ collections: '*', can: ['write'] }).changes(whole, start, 1))).toBe(
      'forbidden',
    )
  })

  test('wakes a watcher for what is within reach alone', async () => {
    const store = storeOf({ collections: 'w1', key_prefix: 'a', can: ['read'] })
    let wakes = 0
    const watcher = store.watch(whole, null, () => wakes++)
    await db.put('w1', 'b', content)
    await db.put('w2', 'a', content)
    await new Promise((resolve) => setImmediate(resolve))
    await new Promise((resolve) => setImmediate(resolve))
    expect(wakes).toBe(0)
    await db.put('w1', 'a', content)
    await new Promise((resolve) => setImmediate(resolve))
    await new Promise((resolve) => setImmediate(resolve))
    expect(wakes).toBe(1)
    const batch = await watcher.read()
    expect(batch?.type === 'events' && batch.events.map(({ change }) => change.collection)).toEqual(['w1'])
    watcher.close()
  })
})

describe('conflicts', () => {
  const conflicts = (store: Pick<Store, 'conflicts'>, collection: string | null = null) =>
    store.conflicts({ collection, before: null, limit: 100 })

  beforeAll(async () => {
    for (const [collection, key] of [
      ['lost', 'a/1'],
      ['lost', 'b/1'],
      ['other', 'a/1'],
    ] as const) {
      await db.put(collection, key, { ...content, value: '"lost"' })
      const later = {
        ...foreign({ collection, key }),
        origin: { node: 'n1', clock: msToStamp(nowMs + 10), createdAtMs: nowMs },
      }
      await db.replicate([later as ForeignWrite], { isConflict: () => true, onConflict() {} })
    }
  })

  test('are those of members that may be read, and how many are not listed is for those who see all', async () => {
    const own = storeOf({ collections: 'lost', key_prefix: 'a/', can: ['read'] })
    const { conflicts: seen, unlisted } = await conflicts(own)
    expect(seen.map(({ collection, key }) => [collection, key])).toEqual([['lost', 'a/1']])
    expect(unlisted).toBeNull()
    expect((await conflicts(own, 'lost')).conflicts).toHaveLength(1)
    const all = await conflicts(storeOf({ collections: '*', can: ['read'] }))
    expect([all.conflicts.length, all.unlisted]).toEqual([3, 0])
    expect((await conflicts(db)).conflicts).toHaveLength(3)
  })

  test('are refused where nothing may be read', async () => {
    const own = storeOf({ collections: 'lost', key_prefix: 'a/', can: ['read'] })
    expect(await codeOf(() => conflicts(own, 'other'))).toBe('forbidden')
    const writer = storeOf({ collections: '*', can: ['write', 'replicate'] })
    expect(await codeOf(() => conflicts(writer))).toBe('forbidden')
    expect(await codeOf(() => conflicts(writer, 'lost'))).toBe('forbidden')
  })
})
