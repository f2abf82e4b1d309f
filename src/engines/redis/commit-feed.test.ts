import { expect, test } from 'bun:test'
import { manualTimers } from '../../../test/support/manual-timers.ts'
import { type Random, random } from '../../../test/support/random.ts'
import { type Change, type Committed, keyOf, revisionOf } from '../../core/member.ts'
import { CommitFeed, type LineSource, type LogPage, type PublishedCommit } from './commit-feed.ts'

/** A put of a member without anything else that counts here. */
function put(key: string, revision: number): Change {
  const member = { key, value: '1', revision, createdAtMs: 0, clock: revision, node: '', expiresAtMs: null }
  return { type: 'put', collection: 'c', member: { ...member, contentType: 'application/json', flags: 0 } }
}

const gapRevisions = 1000

/** A line as its primary has it, and one that loses its tail as in a failover. */
class FakeLine {
  readonly log: Change[] = []
  readonly gaps: { after: number; before: number }[] = []
  head = 0
  private isOtherServer = false

  commit(keys: readonly string[]): PublishedCommit {
    const before = this.head
    if (this.isOtherServer) {
      // Past everything that the lost server can have assigned.
      this.gaps.push({ after: before, before: before + gapRevisions })
      this.head += gapRevisions
      this.isOtherServer = false
    }
    const changes = keys.map((key) => put(key, ++this.head))
    this.log.push(...changes)
    return { before, after: this.head, changes }
  }

  failOver(lost: number): void {
    if (this.isOtherServer) return
    this.log.splice(Math.max(0, this.log.length - lost))
    const last = this.log.at(-1)
    this.head = last === undefined ? 0 : revisionOf(last)
    this.isOtherServer = true
  }

  private isLost(revision: number): boolean {
    return revision > this.head || this.gaps.some((gap) => gap.after < revision && revision < gap.before)
  }

  page(after: number, seenHead: number, limit: number): LogPage {
    const { head } = this
    if (this.isLost(after) || this.isLost(seenHead)) {
      return { isLost: true, changes: [], through: head, head, atEnd: true }
    }
    const latest = new Map<string, Change>()
    for (const change of this.log) {
      latest.delete(keyOf(change))
      latest.set(keyOf(change), change)
    }
    const newer = [...latest.values()].filter((change) => revisionOf(change) > after)
    const changes = newer.slice(0, limit)
    const atEnd = changes.length === newer.length
    return { isLost: false, changes, through: atEnd ? head : revisionOf(changes.at(-1)!), head, atEnd }
  }

  state(): Map<string, number> {
    return new Map(this.log.map((change) => [keyOf(change), revisionOf(change)]))
  }
}

/** One front end with one line, whose reads end when the test says so. */
function frontEnd(line: FakeLine, pageLimit = 3) {
  const timers = manualTimers()
  const reads: (() => void)[] = []
  let state = line.state()
  let last = line.head
  let setbacks = 0
  const seenHeads: [ofChanges: number, ofLine: number][] = []
  const later = <Result>(read: () => Result) =>
    new Promise<Result>((resolve, reject) => {
      // The server reads, and the reply comes some time later.
      reads.push(() => {
        let result: Result
        try {
          result = read()
        } catch (error) {
          reject(error)
          return
        }
        reads.push(() => resolve(result))
      })
    })
  const source: LineSource = {
    readHead: () => later(() => line.head),
    readLog: (_line, after, seenHead) => later(() => line.page(after, seenHead, pageLimit)),
    report(_line: number, changes: readonly Committed[], through: number, seenHead: number) {
      seenHeads.push([seenHead, feed.seenHeads()[0]!])
      for (const change of changes) {
        if (revisionOf(change) <= last) throw new Error(`${revisionOf(change)} was reported after ${last}`)
        last = revisionOf(change)
        state.set(keyOf(change), last)
      }
      if (through < last) throw new Error(`${through} is before ${last}`)
      last = through
    },
    setback(_line, through) {
      setbacks++
      // The core reads everything again.
      state = line.state()
      last = through
    },
  }
  const feed = new CommitFeed(source, timers, 1)
  return {
    feed,
    timers,
    /** Lets one read go on. */
    async read(which = 0) {
      reads.splice(which, 1)[0]?.()
      for (let i = 0; i < 10; i++) await Promise.resolve()
    },
    pending: () => reads.length,
    async start() {
      const starting = feed.start()
      while (reads.length > 0) await this.read()
      await starting
    },
    state: () => state,
    setbacks: () => setbacks,
    seenHeads: () => seenHeads,
  }
}

/** Lets all reads and timers go on until nothing happens. */
async function settle(one: ReturnType<typeof frontEnd>): Promise<void> {
  for (let round = 0; round < 4; round++) {
    one.timers.pass(1000)
    while (one.pending() > 0) await one.read()
  }
}

test('the next commit is reported as it comes, one that is missing is read, one that is known is dropped', async () => {
  const line = new FakeLine()
  const one = frontEnd(line)
  await one.start()
  const first = line.commit(['a'])
  one.feed.received(0, first)
  expect(one.feed.reported(0)).toBe(1)
  one.feed.received(0, first)
  expect(one.pending()).toBe(0)
  line.commit(['b', 'c'])
  one.feed.received(0, line.commit(['d']))
  expect(one.feed.reported(0)).toBe(1)
  await settle(one)
  expect(one.feed.reported(0)).toBe(4)
  expect(one.state()).toEqual(line.state())
  expect(one.setbacks()).toBe(0)
})

test('cursors at what is read from the log can remember its head, those at commits need not', async () => {
  const line = new FakeLine()
  const one = frontEnd(line)
  await one.start()
  line.commit(['a', 'b', 'c', 'd'])
  one.feed.received(0, line.commit(['e']))
  await settle(one)
  one.feed.received(0, line.commit(['f']))
  expect(one.seenHeads()).toEqual([
    [5, 5],
    [5, 0],
    [0, 0],
  ])
})

test('a commit whose changes are too large to be published is read from the log', async () => {
  const line = new FakeLine()
  const one = frontEnd(line)
  await one.start()
  one.feed.received(0, { ...line.commit(['a']), changes: null })
  expect(one.feed.reported(0)).toBe(0)
  await settle(one)
  expect(one.state()).toEqual(line.state())
})

test('an own commit is reported before it resolves, after those before it', async () => {
  const line = new FakeLine()
  const one = frontEnd(line)
  await one.start()
  expect(one.feed.committed(0, line.commit(['a']))).toBeNull()
  expect(one.feed.reported(0)).toBe(1)
  const missed = line.commit(['b'])
  const own = one.feed.committed(0, line.commit(['c']))
  let isDone = false
  void own!.then(() => {
    isDone = true
  })
  one.feed.received(0, missed)
  expect(isDone).toBe(false)
  await settle(one)
  expect(isDone).toBe(true)
  expect(one.state()).toEqual(line.state())
})

test('a message about an own commit is decoded only where something needs it before the reply', async () => {
  const line = new FakeLine()
  const one = frontEnd(line)
  await one.start()
  let decoded = 0
  const own = (commit: PublishedCommit) => {
    const { before, after, changes } = commit
    const decode = () => {
      decoded++
      return changes
    }
    one.feed.receivedOwn(0, { before, after, changes: decode })
    return commit
  }
  const first = own(line.commit(['a']))
  expect(one.feed.reported(0)).toBe(0)
  expect(one.feed.committed(0, first)).toBeNull()
  expect([one.feed.reported(0), decoded]).toEqual([1, 0])
  // A read has seen it.
  const second = own(line.commit(['b']))
  expect(one.feed.whenReported(0, 2)).toBeNull()
  expect(one.feed.committed(0, second)).toBeNull()
  expect([one.feed.reported(0), decoded]).toEqual([2, 1])
  // Another server's commit comes after it.
  const third = own(line.commit(['c']))
  one.feed.received(0, line.commit(['d']))
  expect(one.feed.committed(0, third)).toBeNull()
  expect([one.feed.reported(0), decoded]).toEqual([4, 2])
  // The reply is lost, and the next own commit has one.
  own(line.commit(['e']))
  expect(one.feed.committed(0, own(line.commit(['f'])))).toBeNull()
  expect([one.feed.reported(0), decoded]).toEqual([6, 3])
  // The reply is lost, and nothing comes after it.
  own(line.commit(['g']))
  await settle(one)
  expect([one.feed.reported(0), decoded]).toEqual([7, 4])
  expect(one.state()).toEqual(line.state())
  expect(one.setbacks()).toBe(0)
})

test('who reads a revision that was not reported waits for the message, or for the log when it does not come', async () => {
  const line = new FakeLine()
  const one = frontEnd(line)
  await one.start()
  const commit = line.commit(['a'])
  const read = one.feed.whenReported(0, 1)!
  one.feed.received(0, commit)
  await read
  expect(one.feed.whenReported(0, 1)).toBeNull()
  line.commit(['b'])
  const late = one.feed.whenReported(0, 2)!
  one.timers.pass(20)
  while (one.pending() > 0) await one.read()
  await late
  expect(one.state()).toEqual(line.state())
})

test('a revision that is lost is not waited for', async () => {
  const line = new FakeLine()
  const one = frontEnd(line)
  await one.start()
  line.commit(['a'])
  const read = one.feed.whenReported(0, 1)!
  line.failOver(1)
  line.commit(['b'])
  await settle(one)
  await read
  expect(one.state()).toEqual(line.state())
})

test('lost changes are found by the next commit, and without one by the heads', async () => {
  for (const isPolled of [true, false]) {
    const line = new FakeLine()
    const one = frontEnd(line)
    await one.start()
    for (const key of ['a', 'b', 'c']) one.feed.received(0, line.commit([key]))
    line.failOver(2)
    if (!isPolled) one.feed.received(0, line.commit(['d']))
    await settle(one)
    expect(one.setbacks()).toBe(1)
    expect(one.state()).toEqual(line.state())
  }
})

test('what was lost before it was reported is no setback', async () => {
  const line = new FakeLine()
  const one = frontEnd(line)
  await one.start()
  one.feed.received(0, line.commit(['a']))
  line.commit(['b'])
  line.failOver(1)
  one.feed.received(0, line.commit(['c']))
  await settle(one)
  expect(one.setbacks()).toBe(0)
  expect(one.state()).toEqual(line.state())
})

test('a line out of reach is tried again', async () => {
  const line = new FakeLine()
  const one = frontEnd(line)
  await one.start()
  const { page } = line
  line.page = () => {
    throw new Error('out of reach')
  }
  line.commit(['a'])
  const own = one.feed.committed(0, line.commit(['b']))
  while (one.pending() > 0) await one.read()
  line.page = page
  await settle(one)
  await own
  expect(one.state()).toEqual(line.state())
})

test('nothing is reported after close, and nobody waits any more', async () => {
  const line = new FakeLine()
  const one = frontEnd(line)
  await one.start()
  line.commit(['a'])
  const read = one.feed.whenReported(0, 1)!
  one.timers.pass(20)
  one.feed.close()
  await read
  while (one.pending() > 0) await one.read()
  expect(one.feed.reported(0)).toBe(0)
  expect(one.timers.running()).toBe(0)
})

async function run(choices: Random): Promise<{ setbacks: number; lost: number }> {
  const line = new FakeLine()
  const one = frontEnd(line, 1 + choices.int(4))
  let messages: (PublishedCommit & { isOwn?: boolean })[] = []
  /** The own commit whose reply is on its way. */
  let reply: PublishedCommit | null = null
  let lost = 0
  const owns: Promise<void>[] = []
  const commit = () => line.commit(Array.from({ length: 1 + choices.int(3) }, () => `k${choices.int(6)}`))
  const steps: (() => unknown)[] = [
    () => messages.push(commit()),
    () => messages.push({ ...commit(), changes: null }),
    () => {
      const message = messages.shift()
      if (message === undefined) return
      const { before, after, changes } = message
      if (message.isOwn === true) one.feed.receivedOwn(0, { before, after, changes: () => changes })
      else one.feed.received(0, message)
    },
    () => {
      // One is under way at a time; some replies are lost.
      if (reply !== null && !choices.oneIn(10)) {
        const reported = one.feed.committed(0, reply)
        if (reported !== null) owns.push(reported)
        else expect(one.feed.reported(0)).toBeGreaterThanOrEqual(reply.after)
        reply = null
        return
      }
      reply = commit()
      messages.push({ ...reply, isOwn: true })
    },
    () => one.read(choices.int(one.pending() + 1)),
    () => one.timers.pass(choices.int(30)),
    () => {
      if (!choices.oneIn(3)) return
      messages = []
      one.feed.subscribed(0)
    },
    () => {
      if (!choices.oneIn(6)) return
      const before = line.head
      line.failOver(choices.int(4))
      reply = null
      if (line.head < before) lost++
      messages = []
      one.feed.subscribed(0)
    },
  ]
  await one.start()
  for (let i = 0; i < 120; i++) await choices.pick(steps)()
  await settle(one)
  await Promise.all(owns)
  expect(one.state()).toEqual(line.state())
  expect(one.feed.reported(0)).toBe(line.head)
  // There is one at most for each failover that lost something.
  expect(one.setbacks()).toBeLessThanOrEqual(lost)
  return { setbacks: one.setbacks(), lost }
}

test('whatever is lost, late or doubled, every change is reported in order, or a setback is', async () => {
  let setbacks = 0
  for (let seed = 1; seed <= 400; seed++) {
    try {
      setbacks += (await run(random(seed))).setbacks
    } catch (error) {
      throw new Error(`with seed ${seed}`, { cause: error })
    }
  }
  expect(setbacks).toBeGreaterThan(20)
})
