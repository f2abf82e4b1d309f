import { expect, test } from 'bun:test'
import type { Commit, CommitResult } from '../../core/engine.ts'
import { KvistError } from '../../core/errors.ts'
import { nextTick } from '../../core/next-tick.ts'
import type { CollectionSize } from '../../core/quota.ts'
import { monotonicMs } from '../../runtime/clock.ts'
import { type Cluster, RedisError, type WriteReply } from './cluster.ts'
import type { GroupResult } from './group.ts'
import { lineKeys } from './layout.ts'
import { LineCommitter } from './line-committer.ts'
import type { RedisCommand } from './resp.ts'

/** A line whose responses the test gives. What its script does is tested on real servers. */
type Respond = (sent: Sent) => Promise<WriteReply>

interface Sent {
  readonly script: string
  /** The packed group. */
  readonly group: Buffer
  readonly commits: number
}

const nowMs = 1e12
const keys = lineKeys('p', 1)[0]!

/** Counts the fields of a group, of which each commit of these tests has one of its own. */
function commitsIn(group: Buffer): number {
  return group.toString('latin1').split('c\0').length - 1
}

function committer(responses: readonly Respond[], patienceMs = 5000) {
  const sent: Sent[] = []
  const reports: GroupResult[] = []
  const faults: (KvistError | null)[] = []
  let calls = 0
  const cluster: Pick<Cluster, 'write'> = {
    write(_slot, command: RedisCommand) {
      const group = command[11] as Buffer
      sent.push({ script: String(command[1]), group, commits: commitsIn(group) })
      const respond = responses[Math.min(calls++, responses.length - 1)]!
      return respond(sent.at(-1)!)
    },
  }
  const line = new LineCommitter({
    cluster: cluster as Cluster,
    keys,
    scripts: { puts: 'puts', commits: 'commits', deletes: 'deletes' },
    instance: 'i',
    nodeId: 'n',
    patienceMs,
    now: () => nowMs,
    report(result) {
      reports.push(result)
      return null
    },
    onOutcome: (fault) => faults.push(fault),
  })
  return {
    line,
    sent,
    reports,
    faults,
    commit(given: Commit): Promise<CommitResult> {
      return line.commit({ ...given, floor: 0, elsewhere: [] })
    },
  }
}

const put = (key: string): Commit => ({
  checks: [],
  writes: [
    {
      op: 'put',
      collection: 'c',
      key,
      value: '1',
      contentType: 'application/json',
      flags: 0,
      expiresAtMs: null,
    },
  ],
  nowMs,
})
const remove = (key: string): Commit => ({
  checks: [],
  writes: [{ op: 'delete', collection: 'c', key, cause: 'delete' }],
  nowMs,
})

/** Responds that every commit of the group was done. */
const done: Respond = async ({ commits }) => ({
  reply: [1, 2, ...Array.from({ length: commits }, () => [1, [2, nowMs, 2, 0]])],
  isReplicated: true,
})
const failing =
  (outcome: RedisError['outcome'], code = ''): Respond =>
  () =>
    Promise.reject(new RedisError(outcome, code, code.split(' ')[0]))

async function codeOf(result: Promise<unknown>): Promise<string> {
  try {
    await result
    return 'done'
  } catch (error) {
    return error instanceof KvistError ? error.code : String(error)
  }
}

test('what comes while a group is under way is the next one, in order', async () => {
  const { commit, sent } = committer([done])
  await Promise.all([commit(put('a')), ...Array.from({ length: 20 }, (_, i) => commit(put(`k${i}`)))])
  expect(sent.map(({ commits }) => commits)).toEqual([21])
  const first = commit(put('b'))
  await Promise.resolve()
  await Promise.resolve()
  const others = Array.from({ length: 200 }, (_, i) => commit(put(`k${i}`)))
  await Promise.all([first, ...others])
  expect(sent.slice(1).map(({ commits }) => commits)).toEqual([1, 128, 72])
})

test('a group that may have been done is sent again as it was, until its result comes', async () => {
  const { commit, sent, reports } = committer([failing('maybe_done'), failing('maybe_done'), done])
  expect(await commit(put('a'))).toMatchObject({ ok: true, written: [{ revision: 2 }] })
  expect(sent).toHaveLength(3)
  expect(sent.every(({ group }) => group.equals(sent[0]!.group))).toBe(true)
  expect(reports).toHaveLength(1)
  await commit(put('a'))
  // The next group has another number.
  expect(sent[3]!.group.equals(sent[0]!.group)).toBe(false)
})

test('a group that is not on enough replicas is sent again; in the end its outcome is unknown, and it was reported', async () => {
  const alone: Respond = async (sent) => ({ ...(await done(sent)), isReplicated: false })
  const { commit, sent } = committer([alone, done])
  expect(await codeOf(commit(put('a')))).toBe('done')
  expect(sent).toHaveLength(2)
  const never = committer([alone], 60)
  expect(await codeOf(never.commit(put('a')))).toBe('outcome_unknown')
  expect(never.reports).toHaveLength(1)
})

test.each([
  ['nothing was done', [failing('not_done')], 'unavailable'],
  [
    'it may have been done, and then no server responds',
    [failing('maybe_done'), failing('not_done')],
    'outcome_unknown',
  ],
  ['nothing is heard of it any more', [failing('maybe_done')], 'outcome_unknown'],
  ['a later group was done', [failing('refused', 'STALE a later one')], 'outcome_unknown'],
  ['the server refuses it', [failing('refused', 'MISCONF disk')], 'storage_failed'],
  ['clocks differ', [failing('refused', `SKEW ${nowMs + 3_600_000}`)], 'unavailable'],
])('where %s, that is the error', async (_, responses, code) => {
  const { commit, faults } = committer(responses, 60)
  expect(await codeOf(commit(put('a')))).toBe(code)
  expect(faults.at(-1)?.code).toBe(code as KvistError['code'])
})

test('a group that was done and not replicated is of unknown outcome if it cannot be sent again', async () => {
  const notReplicated: Respond = async (sent) => ({ ...(await done(sent)), isReplicated: false })
  for (const outcome of ['not_done', 'refused'] as const) {
    const { commit } = committer([notReplicated, failing(outcome, 'NOREPLICAS')])
    expect(await codeOf(commit(put('a')))).toBe('outcome_unknown')
  }
})

test('a group that only took long to arrive is sent again with the present time', async () => {
  const { commit, sent } = committer([failing('refused', `SKEW ${nowMs + 400}`), done])
  expect(await codeOf(commit(put('a')))).toBe('done')
  expect(sent).toHaveLength(2)
})

test('patience ends', async () => {
  const { commit } = committer([failing('maybe_done')], 100)
  const startedMs = monotonicMs()
  await codeOf(commit(put('a')))
  expect(monotonicMs() - startedMs).toBeGreaterThanOrEqual(100)
})

test('when memory is full deletes of the group are done by themselves, and the rest is refused', async () => {
  const full = failing('refused', 'OOM command not allowed')
  const { commit, sent, faults } = committer([full, done])
  const results = await Promise.all(
    [commit(put('a')), commit(remove('b')), commit(put('c'))].map((result) => codeOf(result)),
  )
  expect(results).toEqual(['storage_full', 'done', 'storage_full'])
  expect(sent.map(({ script }) => script)).toEqual(['commits', 'deletes'])
  expect(faults.at(-1)?.code).toBe('storage_full')
  // Deletes alone need no second attempt.
  await commit(remove('b'))
  expect(sent.at(-1)!.script).toBe('deletes')
})

test('a commit that has to wait holds up those behind it, and fails by itself', async () => {
  const { line, sent } = committer([done])
  const waits = Promise.withResolvers<CollectionSize[]>()
  const one = (key: string, elsewhere: Promise<CollectionSize[]> | null) =>
    line.commit({ ...put(key), floor: 0, elsewhere: [] }, elsewhere).catch(() => null)
  const all = [one('a', null), one('b', waits.promise), one('k', null)]
  await nextTick()
  expect(sent.map(({ commits }) => commits)).toEqual([1])
  waits.resolve([])
  await Promise.all(all)
  expect(sent.map(({ commits }) => commits)).toEqual([1, 2])
  const failed = Promise.withResolvers<CollectionSize[]>()
  const rest = [one('d', failed.promise), one('e', null)]
  failed.reject(new KvistError('unavailable', 'sizes cannot be read'))
  expect((await Promise.all(rest)).map((result) => result?.ok)).toEqual([undefined, true])
})
