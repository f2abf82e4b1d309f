import { afterEach, expect, test } from 'bun:test'
import { type ComparedStore, comparedStore } from '../../test/support/compared-store.ts'
import { until } from '../../test/support/until.ts'
import type { Database } from '../core/database.ts'
import type { SentChange } from '../core/entry-lines.ts'
import { KvistError } from '../core/errors.ts'
import { keyOf } from '../core/member.ts'
import { commitSignal } from './commit-signal.ts'
import { realSleep } from './mirror.ts'
import { type Peer, startPeer } from './peer.ts'

const opened: ComparedStore[] = []
const peers: Peer[] = []
afterEach(async () => {
  for (const one of peers.splice(0)) await one.stop()
  for (const { db } of opened.splice(0)) await db.close()
})

test('a target that gets everything again gets nothing that it may have deleted; one that is new gets all', async () => {
  const store = await comparedStore(() => 1_000_000)
  opened.push(store)
  const content = { value: '1', contentType: 'application/json', flags: 0, expiresAtMs: null }
  for (const key of ['kept', 'forgotten']) await store.db.put('c', key, content)
  const state = { isCompacted: false }
  const db: Database = {
    ...store.db,
    async changes(scope, after, limit, memory) {
      if (state.isCompacted && after !== '') {
        state.isCompacted = false
        throw new KvistError('compacted', 'the feed does not reach back')
      }
      return store.db.changes(scope, after, limit, memory)
    },
  }
  const batches: string[][] = []
  const start = () => {
    const peer = startPeer({
      db,
      target: {
        url: 'http://target',
        async send(lines) {
          const keys = lines.split('\n').filter((line) => line !== '')
          if (keys.length > 0) batches.push(keys.map((line) => JSON.parse(line).key))
          return { node: 'n1', applied: keys.length, failed: [] }
        },
        withoutForgotten: async (entries: readonly SentChange[]) =>
          entries.filter(({ change }) => keyOf(change) !== 'forgotten'),
      },
      rules: { only: [], tokensCollection: null, isBridge: false },
      signal: commitSignal(),
      now: () => 1_000_000,
      sleep: (ms, signal) => realSleep(Math.min(ms, 5), signal),
      log: { info() {}, warn() {} },
      onError(error) {
        throw error
      },
    })
    peers.push(peer)
    return peer
  }
  const first = start()
  await until(() => first.status().state === 'current', 'it is filled')
  expect(batches).toEqual([['kept', 'forgotten']])
  await first.stop()
  state.isCompacted = true
  const second = start()
  await until(() => batches.length === 2, 'it got everything again')
  expect(batches[1]).toEqual(['kept'])
  await until(() => second.status().state === 'current', 'it is current')
  // From then on it gets every change.
  await store.db.put('c', 'forgotten', content)
  await until(() => batches.length === 3, 'it got the change')
  expect(batches[2]).toEqual(['forgotten'])
})
