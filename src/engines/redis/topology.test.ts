import { expect, test } from 'bun:test'
import { ErrorReply } from './resp.ts'
import { isSameTopology, merge, noTopology, redirectIn, viewOf } from './topology.ts'

const asked = { host: 'seed', port: 7000 }
const role = ['master', 0, []]
const noCluster = new ErrorReply('ERR This instance has cluster support disabled')

/** The replies of a server of a cluster with two primaries. */
function view(owners: readonly [id: string, epoch: number, port: number, from: number, to: number][]) {
  const slots = owners.map(([id, , port, from, to]) => [from, to, ['10.0.0.1', port, id, []]])
  const nodes = owners.map(
    ([id, epoch, port]) => `${id} 10.0.0.1:${port}@1${port} master - 0 0 ${epoch} connected`,
  )
  return viewOf(asked, [slots, nodes.join('\n'), role])!
}

test('a claim with the higher epoch holds, whichever server was asked first', () => {
  const old = view([
    ['a', 1, 7001, 0, 8191],
    ['b', 2, 7002, 8192, 16_383],
  ])
  const failedOver = view([
    ['c', 3, 7003, 0, 8191],
    ['b', 2, 7002, 8192, 16_383],
  ])
  for (const views of [
    [old, failedOver],
    [failedOver, old],
  ]) {
    const { primaries, owners, uncoveredSlots } = merge(views)
    expect(primaries.map(({ port, id, slots }) => [port, id, slots])).toEqual([
      [7003, 'c', [[0, 8191]]],
      [7002, 'b', [[8192, 16_383]]],
    ])
    expect([owners[0], owners[8191], owners[8192], owners[16_383]]).toEqual([0, 0, 1, 1])
    expect(uncoveredSlots).toBe(0)
  }
})

test('slots that nobody has are counted, and single ones that were moved are ranges of their own', () => {
  const { primaries, owners, uncoveredSlots } = merge([
    view([
      ['a', 1, 7001, 0, 99],
      ['a', 1, 7001, 101, 200],
      ['b', 2, 7002, 100, 100],
    ]),
  ])
  expect(uncoveredSlots).toBe(16_384 - 201)
  expect(primaries.map(({ slots }) => slots)).toEqual([
    [
      [0, 99],
      [101, 200],
    ],
    [[100, 100]],
  ])
  expect([owners[99], owners[100], owners[101], owners[201]]).toEqual([0, 1, 0, -1])
})

test('names under which clients reach servers go before addresses; what a server does not know is where it was asked', () => {
  const slots = [
    [0, 1, ['node-1.example', 7001, 'a', []], ['node-2.example', 7002, 'r', []]],
    [2, 3, [null, 7003, 'b', []]],
    [4, 5, ['', 7004, 'c', []]],
    [6, 7, ['?', 7005, 'd', []]],
    [8, 9, ['fe80::1', 7006, 'e', []]],
  ]
  const nodes = [
    'a 10.0.0.1:7001@17001,node-1.example master - 0 0 1 connected 0-1',
    'r 10.0.0.2:7002@17002,node-2.example slave a 0 0 1 connected',
    's 10.0.0.3:7002@17002 slave a 0 0 1 connected',
    't 10.0.0.4:7002@17002 slave,fail a 0 0 1 disconnected',
    'u :0@0 slave,noaddr a 0 0 1 disconnected',
  ].join('\n')
  const { primaries } = merge([viewOf(asked, [slots, Buffer.from(nodes), role])!])
  expect(primaries.map(({ host }) => host)).toEqual(['node-1.example', 'seed', 'seed', 'seed', 'fe80::1'])
  expect(primaries[0]!.replicas.map(({ host }) => host)).toEqual(['node-2.example', '10.0.0.3'])
})

test('a server without cluster has all slots while it is a primary', () => {
  const primary = viewOf(asked, [noCluster, noCluster, ['master', 5, [['10.0.0.2', '7001', '5']]]])!
  const replica = viewOf({ host: 'other', port: 1 }, [
    noCluster,
    noCluster,
    ['slave', 'seed', 7000, 'connected', 5],
  ])!
  expect(replica).toEqual({ isSingle: true, claims: [] })
  const { primaries, uncoveredSlots } = merge([replica, primary])
  expect(uncoveredSlots).toBe(0)
  expect(primaries).toEqual([
    { ...asked, id: '', slots: [[0, 16_383]], replicas: [{ host: '10.0.0.2', port: 7001 }] },
  ])
})

test('what is no view is none', () => {
  const loading = new ErrorReply('LOADING Redis is loading the dataset in memory')
  expect(viewOf(asked, [loading, loading, loading])).toBeNull()
  expect(viewOf(asked, [[], loading, role])).toBeNull()
  expect(viewOf(asked, [null, null, null])).toBeNull()
  expect(viewOf(asked, [])).toBeNull()
  expect(viewOf(asked, [[[0], [0, 99_999, ['a', 1, 'x']], [0, 1, 'a'], 'x'], '', role])!.claims).toEqual([])
})

test('topologies differ by primaries, slots and replicas', () => {
  const one = merge([view([['a', 1, 7001, 0, 16_383]])])
  expect(isSameTopology(one, merge([view([['a', 9, 7001, 0, 16_383]])]))).toBe(true)
  expect(isSameTopology(one, merge([view([['b', 2, 7002, 0, 16_383]])]))).toBe(false)
  expect(isSameTopology(one, merge([view([['a', 1, 7001, 0, 16_382]])]))).toBe(false)
  expect(isSameTopology(one, noTopology)).toBe(false)
})

test.each([
  ['MOVED 3999 127.0.0.1:6381', { host: '127.0.0.1', port: 6381 }],
  ['ASK 3999 node.example:6381', { host: 'node.example', port: 6381 }],
  ['MOVED 3999 2001:db8::1:6381', { host: '2001:db8::1', port: 6381 }],
  ['MOVED 3999 :6381', { host: 'seed', port: 6381 }],
  ['MOVED 3999 ?:6381', { host: 'seed', port: 6381 }],
  ['MOVED', null],
  ['CLUSTERDOWN The cluster is down', null],
] as const)('%s names a server', (text, address) => {
  expect(redirectIn(text, asked)).toEqual(address)
})
