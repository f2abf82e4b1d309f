import { expect, test } from 'bun:test'
import type { NodesStatus, TargetStatus } from 'kvist-client'
import { nodeLinksOf, roleOf } from './node-links.ts'

const alone: NodesStatus = {
  node: 'n1',
  conflicts: 0,
  targets: [],
  role: 'leader',
  term: 0,
  leader: null,
  followers: [],
}
const target: TargetStatus = {
  url: 'http://b',
  state: 'current',
  node: 'n2',
  lag_changes: 0,
  lag_seconds: 0,
  sent: 3,
  failures: 1,
  last_error: { detail: 'refused', at: '2026-01-01T00:00:00Z' },
  last_success_at: '2026-01-01T00:00:01Z',
  setbacks: 0,
  heal: null,
}

test('a target says how far behind it is, and an old error only while it matters', () => {
  const details = (given: Partial<TargetStatus>) =>
    nodeLinksOf({ ...alone, targets: [{ ...target, ...given }] })[0]!
  expect(details({})).toMatchObject({
    tone: 'good',
    state: 'Up to date',
    details: ['lacks nothing'],
    error: null,
  })
  const behind = details({ state: 'retrying', lag_changes: 1204, lag_seconds: 95.2, setbacks: 1 })
  expect(behind).toMatchObject({ tone: 'bad', error: { detail: 'refused' } })
  expect(behind.details).toEqual(['lacks 1,204 changes', '1 min 35 s behind', 'was set back 1 time'])
  expect(details({ state: 'filling', lag_changes: null }).details).toEqual([])
  const heal = {
    is_running: false,
    runs: 1,
    failures: 0,
    mended: 2,
    undecided: 1,
    last_run_at: null,
    last_error: null,
  }
  expect(details({ heal }).details).toEqual(['lacks nothing', '2 members mended', '1 member undecided'])
})

test('all that changes flow from and to has a line', () => {
  const links = nodeLinksOf({
    ...alone,
    role: 'demoted',
    leader: { url: 'http://a' },
    followers: [{ node: 'n3', is_current: false, last_seen_at: '2026-01-01T00:00:00Z' }],
    targets: [target],
    origins: [{ url: 'http://o', state: 'down', node: null, failures: 2, last_error: null }],
  })
  expect(links.map(({ relation, name, tone }) => [relation, name, tone])).toEqual([
    ['Caches', 'http://o', 'bad'],
    ['Follows', 'http://a', 'waiting'],
    ['Is followed by', 'node n3', 'waiting'],
    ['Sends to', 'http://b', 'good'],
  ])
  expect(roleOf(alone)).toBe('This server takes writes')
})
