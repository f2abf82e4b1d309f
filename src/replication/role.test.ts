import { expect, test } from 'bun:test'
import { leaderOf, type Role, roleAtStart } from './role.ts'

const a = 'http://a'
const b = 'http://b'
const promoted: Role = {
  role: 'leader',
  term: 3,
  formerLeader: a,
  formerNode: 'n',
  ownUrl: b,
  isFormerDemoted: false,
}
const demoted: Role = { role: 'demoted', term: 3, leader: b, node: 'n' }
const leading = { role: 'leader', formerLeader: null, formerNode: null, ownUrl: null, isFormerDemoted: true }

test.each<[string, Role | null, string | null, object]>([
  ['a new node leads', null, null, { ...leading, term: 0 }],
  ['a new node follows as it is told', null, a, { role: 'follower', term: 0, leader: a }],
  ['a promoted node leads with the command line of before', promoted, a, promoted],
  ['and without --follow', promoted, null, promoted],
  ['and follows another leader', promoted, b, { role: 'follower', term: 3, leader: b }],
  ['a demoted node stays so', demoted, null, demoted],
  ['and follows as it is told', demoted, b, { role: 'follower', term: 3, leader: b }],
  [
    'a former leader is no leader by its own old command line',
    demoted,
    a,
    { role: 'follower', term: 3, leader: a },
  ],
  [
    'a follower leads without --follow',
    { role: 'follower', term: 3, leader: a },
    null,
    { ...leading, term: 3 },
  ],
])('%s', (_name, stored, follow, role) => {
  expect(roleAtStart(stored, follow) as object).toEqual(role)
})

test('clients are sent to the leader, unless that is not known or follows this node', () => {
  expect(leaderOf(promoted, false)).toBeNull()
  expect(leaderOf({ role: 'follower', term: 0, leader: a }, false)?.url).toBe(a)
  expect(leaderOf({ role: 'follower', term: 0, leader: a }, true)?.url).toBeNull()
  expect(leaderOf(demoted, false)?.url).toBe(b)
  expect(leaderOf({ ...demoted, leader: null }, false)?.url).toBeNull()
})
