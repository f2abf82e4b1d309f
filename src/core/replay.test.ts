import { afterAll, expect, test } from 'bun:test'
import { linedEngine } from '../../test/support/lined-engine.ts'
import { random, seedOfRun } from '../../test/support/random.ts'
import { openTestEngine } from '../../test/support/test-engine.ts'
import { type Database, openDatabase } from './database.ts'
import type { Engine, OnCommit } from './engine.ts'
import type { Operation } from './operations.ts'
import { type RecordedOutcome, recordOutcomes, replayOutcomes } from './replay.ts'
import { noSettings } from './settings.ts'

/** What is recorded in a command's own commit says what the command came to, whichever revisions that got. */

const opened: Database[] = []
afterAll(async () => {
  for (const db of opened) await db.close()
})

const engines: Readonly<Record<string, (onCommit: OnCommit) => Engine | Promise<Engine>>> = {
  'the engine of the run': openTestEngine,
  'an engine of several lines': (onCommit) => linedEngine({ lines: 3, spans: 'collection', onCommit }),
}

const recordRef = { collection: '_records', key: 'r' }

test.each(Object.entries(engines))('on %s', async (_name, open) => {
  const rng = random(seedOfRun())
  let nowMs = 1_700_000_000_000
  const db = await openDatabase({
    open: async (onCommit) => open(onCommit),
    cacheBytes: 0,
    now: () => nowMs,
    onError(error) {
      throw error
    },
  })
  opened.push(db)
  await db.setSettings('c', { ...noSettings, defaultTtlMs: 90_000 })
  for (let round = 0; round < 400; round++) {
    nowMs += rng.pick([0, 0, 1, 700, 40_000])
    const operations = Array.from({ length: 1 + rng.int(9) }, () => operation(rng.int(6)))
    let recorded: RecordedOutcome[] = []
    const outcomes = await db.execute({
      operations,
      alongside: {
        writes(plan, plannedMs) {
          recorded = recordOutcomes(plan, plannedMs)
          const content = { value: '1', contentType: 'application/json', flags: 0, expiresAtMs: null }
          return [{ op: 'put', ...recordRef, ...content, near: { collection: 'c', key: 'k0' } }]
        },
      },
    })
    const [record] = (await db.page(recordRef.collection, everythingOnce)).members
    // As it is when it was written down and read again.
    const read: RecordedOutcome[] = JSON.parse(JSON.stringify(recorded))
    const said = JSON.stringify({ round, operations })
    expect([said, replayOutcomes(read, record!).map(shown)]).toEqual([said, outcomes.map(shown)])
    if (rng.oneIn(3)) await db.put('c', `k${rng.int(6)}`, content('0'))
  }

  function content(value: string) {
    const expiresAtMs = rng.oneIn(3) ? nowMs + rng.int(80_000) : null
    return { value, contentType: 'application/json', flags: 0, expiresAtMs }
  }

  function operation(key: number): Operation {
    const ref = { collection: 'c', key: `k${key}` }
    return rng.pick<Operation>([
      { op: 'put', ...ref, ...content(String(rng.int(5))) },
      { op: 'delete', ...ref },
      { op: 'increment', ...ref, path: '', by: rng.int(4), ifCreated: { expiresAtMs: 'never' } },
      { op: 'patch', ...ref, patch: { kind: 'merge', text: '5' }, expiresAtMs: null },
      { op: 'touch', ...ref, expiresAtMs: rng.pick(['never', nowMs + 5000, nowMs + 60_000]) },
    ])
  }
})

const everythingOnce = {
  prefix: '',
  filter: null,
  match: null,
  from: null,
  to: null,
  order: 'asc',
  limit: 1,
  cursor: null,
  keysOnly: false,
} as const

/** What a delete removed had a time of creation, which no response shows. */
function shown({ createdAtMs, ...outcome }: RecordedOutcome) {
  return outcome.contentType === '' ? outcome : { ...outcome, createdAtMs }
}
