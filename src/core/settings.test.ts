import { describe, expect, test } from 'bun:test'
import { faultOf } from '../../test/support/engine.ts'
import type { Write } from './engine.ts'
import {
  hasQuota,
  noSettings,
  parseSettings,
  type Settings,
  settingsJson,
  settingsRegistry,
} from './settings.ts'

const faultIn = (given: unknown) => faultOf((async () => parseSettings(given))())

describe('quotas in settings', () => {
  test.each([
    [{}, {}],
    [{ max_members: null, max_bytes: null, max_value_bytes: null }, {}],
    [{ max_members: 1 }, { maxMembers: 1 }],
    [{ max_members: 1e12 }, { maxMembers: 1e12 }],
    [{ max_bytes: 1 }, { maxBytes: 1 }],
    [{ max_bytes: 2 ** 49 }, { maxBytes: 2 ** 49 }],
    [{ max_bytes: '64MiB' }, { maxBytes: 64 * 2 ** 20 }],
    [{ max_bytes: '10mb' }, { maxBytes: 10_000_000 }],
    [{ max_bytes: '1.5 GiB' }, { maxBytes: 1.5 * 2 ** 30 }],
    [{ max_bytes: '1024' }, { maxBytes: 1024 }],
    [{ max_bytes: '512TiB' }, { maxBytes: 2 ** 49 }],
    [{ max_value_bytes: 16 * 2 ** 20 }, { maxValueBytes: 16 * 2 ** 20 }],
    [{ max_value_bytes: '16MiB' }, { maxValueBytes: 16 * 2 ** 20 }],
  ])('%j are taken, and shown as they are sent back', (given, expected) => {
    const settings = parseSettings(given)
    expect(settings).toEqual({ ...noSettings, ...expected })
    expect(parseSettings(JSON.parse(settingsJson(settings)))).toEqual(settings)
    expect(hasQuota(settings)).toBe(Object.keys(expected).length > 0)
  })

  const bad = [0, -1, 1.5, -0, true, [], [1], {}, '', ' ', 'many', '-5', '0', '1e3', '1.5', '10 parsecs']
  const badMembers = [...bad, '1', '5', '1k', 1e12 + 1, 1e300]
  const badBytes = [...bad, 2 ** 49 + 1, 1e16, '513TiB', '0.5', '0.1B', '１', '1MB2', 'MB']
  test.each([
    ...badMembers.map(
      (given) => ['max_members', given, 'a whole number from 1 to 1000000000000', 1e12] as const,
    ),
    ...badBytes.map(
      (given) =>
        [
          'max_bytes',
          given,
          'a number of bytes from 1 to 562949953421312, or a size up to "512TiB"',
          2 ** 49,
        ] as const,
    ),
    ...[...badBytes, '16MiB1', '17MiB', 16 * 2 ** 20 + 1].map(
      (given) =>
        [
          'max_value_bytes',
          given,
          'a number of bytes from 1 to 16777216, or a size up to "16MiB"',
          16 * 2 ** 20,
        ] as const,
    ),
  ])('a %s of %j is refused, with what it may be', async (name, given, range, limit) => {
    const { code, message, extra } = await faultIn({ [name]: given })
    expect([code, message, extra]).toEqual([
      'invalid_request',
      `"${name}" is ${range}, or null for no quota`,
      { limit },
    ])
  })

  test('a name that is not known is refused with those that are', async () => {
    expect((await faultIn({ max_member: 1 })).message).toBe(
      'there is no setting "max_member"; known are processes, default_ttl, sliding, max_members, max_bytes, max_value_bytes, schema, indexes',
    )
  })
})

describe('the registry', () => {
  const onError = (error: unknown) => {
    throw error
  }
  const put = (collection: string): Write => ({
    op: 'put',
    collection,
    key: 'k',
    value: '1',
    contentType: 'application/json',
    flags: 0,
    expiresAtMs: null,
  })
  const deletion = (collection: string): Write => ({ op: 'delete', collection, key: 'k', cause: 'delete' })
  const limited: Settings = { ...noSettings, maxMembers: 5 }
  const quotaOf = (collection: string) => ({ collection, maxMembers: 5, maxBytes: null, maxValueBytes: null })

  test('returns the quotas of the collections that get members, each once', () => {
    const { quotasOf } = settingsRegistry(
      new Map([
        ['a', limited],
        ['b', limited],
        ['c', { ...noSettings, defaultTtlMs: 1000 }],
      ]),
      onError,
    )
    expect(quotasOf([put('b'), put('a'), put('c'), put('d'), put('b')])).toEqual([quotaOf('b'), quotaOf('a')])
    expect(quotasOf([deletion('a'), put('c'), put('d')])).toBeUndefined()
    expect(quotasOf([])).toBeUndefined()
  })

  test('follows the settings as they are committed', () => {
    const { quotasOf, onCommit } = settingsRegistry(new Map([['fixed', limited]]), onError)
    const commit = (key: string, value: string | null) => {
      const origin = { revision: 1, clock: 1, node: '' }
      const member = {
        ...{ key, value: value ?? '', createdAtMs: 0, expiresAtMs: null, flags: 0 },
        ...{ contentType: 'application/json', ...origin },
      }
      const collection = '_settings'
      if (value !== null) onCommit([{ type: 'put', collection, member }])
      else
        onCommit([
          { type: 'delete', collection, tombstone: { key, cause: 'delete', ...origin, removedClock: 0 } },
        ])
    }
    commit('a', '{"max_members":5}')
    commit('fixed', '{"max_members":7}')
    expect(quotasOf([put('a'), put('fixed')])).toEqual([quotaOf('a'), quotaOf('fixed')])
    commit('a', '{"max_bytes":9}')
    expect(quotasOf([put('a')])).toEqual([{ ...quotaOf('a'), maxMembers: null, maxBytes: 9 }])
    commit('a', '{"default_ttl":9}')
    expect(quotasOf([put('a')])).toBeUndefined()
    commit('a', '{"max_members":5}')
    commit('a', null)
    expect(quotasOf([put('a')])).toBeUndefined()
  })
})
