import { describe, expect, test } from 'bun:test'
import { faultOf } from '../../test/support/engine.ts'
import { parseGrants } from './grants.ts'
import { everythingPermitted, permitsOf } from './permits.ts'

function permits(...grants: unknown[]) {
  return permitsOf(parseGrants(grants))
}

describe('grants', () => {
  const one = { collections: 'users', can: ['read'] }

  test.each([
    [undefined, '"grants" is a list'],
    [[], '"grants" is a list'],
    [{}, '"grants" is a list'],
    [[null], 'grants[0] is not'],
    [[one, 'users'], 'grants[1] is not'],
    [[[one]], 'grants[0] is not'],
    [[{ ...one, prefix: 'a' }], 'grants[0] has a field "prefix"; known are collections, key_prefix, can'],
    [[{ can: ['read'] }], 'grants[0].collections'],
    [[{ ...one, collections: '' }], 'grants[0].collections'],
    [[{ ...one, collections: 5 }], 'grants[0].collections'],
    [[{ ...one, collections: '_tokens' }], "kvist's own"],
    [[{ ...one, collections: '_*' }], "kvist's own"],
    [[{ ...one, collections: 'x'.repeat(513) }], 'grants[0].collections: a pattern may have 512'],
    [[{ ...one, collections: 'a\\b' }], 'grants[0].collections: in a pattern a backslash'],
    [[{ ...one, key_prefix: 5 }], 'grants[0].key_prefix is not text'],
    [[{ ...one, key_prefix: '\ud800' }], 'grants[0].key_prefix is not text'],
    [[{ ...one, key_prefix: 'é'.repeat(257) }], 'grants[0].key_prefix has more than 512 bytes'],
    [[{ collections: 'users' }], 'grants[0].can'],
    [[{ ...one, can: [] }], 'grants[0].can'],
    [[{ ...one, can: 'read' }], 'grants[0].can'],
    [[{ ...one, can: ['read', 'drop'] }], 'at least one of read, write, admin, replicate'],
    [Array(65).fill(one), 'at most 64 grants'],
  ])('are refused: %j', async (given, detail) => {
    const fault = await faultOf(Promise.try(() => parseGrants(given)))
    expect(fault.code).toBe('invalid_request')
    expect(fault.message).toContain(detail)
  })
})

describe('permits', () => {
  test('are the union of grants', () => {
    const some = permits(
      { collections: 'users', can: ['read'] },
      { collections: 'lo*', key_prefix: 't1/', can: ['read', 'write'] },
      { collections: 'logs', key_prefix: 't2/', can: ['read'] },
    )
    expect(some.reach('read', 'users')).toEqual([''])
    expect(some.reach('write', 'users')).toEqual([])
    expect(some.reach('read', 'logs')).toEqual(['t1/', 't2/'])
    expect(some.reach('write', 'logs')).toEqual(['t1/'])
    expect(some.reach('read', 'locks')).toEqual(['t1/'])
    expect(some.reach('read', 'others')).toEqual([])
    expect(some.reach('admin', 'users')).toEqual([])
  })

  test('of overlapping prefixes keep the outermost, in the order of the keys', () => {
    const prefixes = ['b', 'ab', 'a', 'abc', '😀', '\uffff', 'b', 'ba']
    const some = permits(...prefixes.map((one) => ({ collections: 'c', key_prefix: one, can: ['read'] })))
    expect(some.reach('read', 'c')).toEqual(['a', 'b', '\uffff', '😀'])
    expect(
      permits(
        { collections: 'c', key_prefix: 'a', can: ['read'] },
        { collections: 'c*', can: ['read'] },
      ).reach('read', 'c'),
    ).toEqual([''])
  })

  test.each(['*', '?*', '*s', '?tokens', '**'])(
    'of %s never reach a collection of kvist itself',
    (collections) => {
      const some = permits({ collections, can: ['read', 'write', 'admin', 'replicate'] })
      for (const name of ['_tokens', '_settings', '_']) expect(some.reach('read', name)).toEqual([])
      expect(everythingPermitted.reach('read', '_tokens')).toEqual([])
    },
  )

  test('are everywhere only for all collections whole', () => {
    expect(permits({ collections: '*', can: ['admin'] }).everywhere('admin')).toBe(true)
    expect(permits({ collections: '**', can: ['admin'] }).everywhere('admin')).toBe(true)
    expect(permits({ collections: '*', can: ['read'] }).everywhere('admin')).toBe(false)
    expect(permits({ collections: '?*', can: ['admin'] }).everywhere('admin')).toBe(false)
    expect(permits({ collections: '*', key_prefix: 'a', can: ['admin'] }).everywhere('admin')).toBe(false)
    expect(permits({ collections: 'c', can: ['read'] }).somewhere('read')).toBe(true)
    expect(permits({ collections: 'c', can: ['read'] }).somewhere('write')).toBe(false)
  })

  test('are right after more collections than are remembered', () => {
    const some = permits({ collections: 'c1*', key_prefix: 'p', can: ['read'] })
    for (let i = 0; i < 2500; i++)
      expect(some.reach('read', `c${i}`)).toEqual(String(i).startsWith('1') ? ['p'] : [])
    expect(some.reach('read', 'c1')).toEqual(['p'])
  })
})
