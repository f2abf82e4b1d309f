import { describe, expect, test } from 'bun:test'
import {
  type Activity,
  type ConnectionGroup,
  type ConnectionLimits,
  ConnectionRegistry,
  type FullLimit,
  type ProtocolConnection,
} from './connections.ts'

interface TestConnection extends ProtocolConnection {
  activity: Activity
  lastActive: number
}

/** A registry, and connections of it that say by their names that they were closed. */
function registryOf(limits: Partial<ConnectionLimits>) {
  const closed: string[] = []
  const reports: FullLimit[] = []
  const registry = new ConnectionRegistry({
    exemptsLoopback: true,
    maxConnections: Number.POSITIVE_INFINITY,
    maxPerAddress: Number.POSITIVE_INFINITY,
    onFull: (limit) => reports.push(limit),
    ...limits,
  })
  registry.stop()
  const group = registry.group()

  function open(
    name: string,
    activity: Activity,
    { address = '10.0.0.1', of = group }: { address?: string; of?: ConnectionGroup } = {},
  ): TestConnection | null {
    if (!registry.admit(of, address)) return null
    const connection: TestConnection = {
      activity,
      lastActive: registry.seconds,
      isFinished: false,
      receive() {},
      drained() {},
      halfClosed() {},
      closed() {},
      checkTimeouts() {},
      finish() {},
      close: () => void closed.push(name),
    }
    registry.add(connection, of, address)
    return connection
  }
  return { registry, group, open, closed, reports }
}

describe('a full registry', () => {
  test('closes the connection that has been idle for longest', () => {
    const { registry, group, open, closed } = registryOf({ maxConnections: 3 })
    const a = open('a', 'idle')!
    open('b', 'idle')
    open('c', 'busy')
    registry.passSecond()
    a.lastActive = registry.seconds
    open('d', 'idle')
    expect(closed).toEqual(['b'])
    // Candidates were collected before these were active again, or came.
    a.activity = 'busy'
    open('e', 'idle')
    expect(closed).toEqual(['b', 'd'])
    expect(group).toMatchObject({ open: 3, evicted: 2, rejected: 0 })
  })

  test('closes new ones before those that were served, and the older of those of one second', () => {
    const { registry, open, closed } = registryOf({ maxConnections: 4 })
    open('served long ago', 'idle')
    registry.passSecond()
    for (const name of ['new 1', 'new 2', 'new 3']) open(name, 'new')
    for (let i = 0; i < 10; i++) open(`flood ${i}`, 'new')
    expect(closed.slice(0, 4)).toEqual(['new 1', 'new 2', 'new 3', 'flood 0'])
    expect(closed).toHaveLength(10)
    expect(closed).not.toContain('served long ago')
  })

  test('turns a client away when all are at work, and takes the next when one is not', () => {
    const { registry, group, open, closed } = registryOf({ maxConnections: 2 })
    const [a] = [open('a', 'busy')!, open('b', 'busy')!]
    expect(open('c', 'new')).toBeNull()
    expect(group).toMatchObject({ open: 2, evicted: 0, rejected: 1 })
    a.activity = 'idle'
    expect(open('d', 'new')).not.toBeNull()
    expect(closed).toEqual(['a'])
    registry.remove(a)
    expect([registry.open, group.open]).toEqual([2, 2])
  })

  test('goes through few connections for each client of a flood', () => {
    const { open, group } = registryOf({ maxConnections: 10_000 })
    let looks = 0
    for (let i = 0; i < 10_000; i++) {
      const one = open(`${i}`, 'busy')!
      Object.defineProperty(one, 'activity', {
        get() {
          looks++
          return 'busy'
        },
      })
    }
    for (let i = 0; i < 1000; i++) expect(open('flood', 'new')).toBeNull()
    expect(looks).toBeLessThan(1000 * 600)
    expect(looks).toBeGreaterThan(0)
    expect(group.rejected).toBe(1000)
  })
})

describe('one address', () => {
  test('has no more than its part, and gives its own places up first', () => {
    const { open, closed } = registryOf({ maxConnections: 100, maxPerAddress: 2 })
    open('other', 'new', { address: '10.0.0.2' })
    open('a', 'idle')
    open('b', 'busy')
    open('c', 'busy')
    expect(closed).toEqual(['a'])
    expect(open('d', 'new')).toBeNull()
    expect(open('e', 'new', { address: '10.0.0.2' })).not.toBeNull()
  })

  test('may have all when it is this machine, where a proxy can be', () => {
    const { open, closed } = registryOf({ maxConnections: 100, maxPerAddress: 1 })
    for (const address of ['127.0.0.1', '127.8.8.8', '::1', '::ffff:127.0.0.1']) {
      open('a', 'idle', { address })
      open('b', 'idle', { address })
    }
    expect(closed).toEqual([])
    open('c', 'idle', { address: '127.0.0.1.example' })
  })

  test('of this machine counts like all others where somebody asked for a number', () => {
    const { open, closed } = registryOf({ maxPerAddress: 1, exemptsLoopback: false })
    open('a', 'idle', { address: '127.0.0.1' })
    open('b', 'idle', { address: '127.0.0.2' })
    open('c', 'busy', { address: '127.0.0.1' })
    expect(closed).toEqual(['a'])
    expect(open('d', 'new', { address: '::ffff:127.0.0.1' })).toBeNull()
  })

  test('of IPv6 is all that begins as it does, since a site has 2^64 of them', () => {
    const { open, closed } = registryOf({ maxPerAddress: 2 })
    open('a', 'idle', { address: '2001:db8:1:2::1' })
    open('b', 'busy', { address: '2001:db8:1:2:ffff::7' })
    open('c', 'busy', { address: '2001:db8:1:2::2' })
    expect(closed).toEqual(['a'])
    expect(open('d', 'new', { address: '2001:db8:1:2::3' })).toBeNull()
    expect(open('e', 'new', { address: '2001:db8:1:3::3' })).not.toBeNull()
  })

  test('is forgotten with its last connection', () => {
    const { registry, open, closed } = registryOf({ maxPerAddress: 1 })
    for (let i = 0; i < 3; i++) registry.remove(open('a', 'busy')!)
    open('a', 'busy')
    expect(closed).toEqual([])
  })
})

test('a listener closes its own connections for its own limit, and any for that of all', () => {
  const { registry, open, closed } = registryOf({ maxConnections: 3 })
  const memcached = registry.group(1)
  open('http', 'new')
  registry.passSecond()
  open('memcached 1', 'idle', { of: memcached })
  open('memcached 2', 'idle', { of: memcached })
  expect(closed).toEqual(['memcached 1'])
  open('http 2', 'idle')
  open('http 3', 'idle')
  expect(closed).toEqual(['memcached 1', 'http'])
  expect(registry.of(memcached)).toHaveLength(1)
})

test('a full registry is reported once in a minute', () => {
  const { registry, open, reports } = registryOf({ maxConnections: 1 })
  open('a', 'busy')
  open('b', 'busy')
  open('c', 'busy')
  expect(reports).toEqual([{ of: 'all', max: 1, address: '10.0.0.1', isRejected: true }])
  for (let i = 0; i < 59; i++) registry.passSecond()
  open('d', 'busy')
  expect(reports).toHaveLength(1)
  registry.passSecond()
  open('e', 'busy')
  expect(reports).toHaveLength(2)
})

test('connections check their timeouts once a second', () => {
  const { registry, open } = registryOf({})
  const one = open('a', 'busy')!
  let checks = 0
  one.checkTimeouts = () => checks++
  registry.passSecond()
  registry.passSecond()
  registry.remove(one)
  registry.passSecond()
  expect([checks, registry.seconds]).toEqual([2, 3])
})
