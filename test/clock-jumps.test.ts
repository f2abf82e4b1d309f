import { afterAll, beforeAll, expect, test } from 'bun:test'
import { until } from './support/engine.ts'
import { type InProcessServer, startInProcess } from './support/in-process.ts'
import { manualTimers } from './support/manual-timers.ts'
import { jsonOf, put } from './support/responses.ts'

/** The clock of the machine is set, by days in both directions: what a client sees stays in order and true. */

const dayMs = 24 * 3600 * 1000
let nowMs = Date.parse('2026-06-01T12:00:00Z')
const timers = manualTimers()
let server: InProcessServer
beforeAll(async () => {
  server = await startInProcess(() => nowMs, null, timers)
})
afterAll(async () => {
  expect(server.errors).toEqual([])
  await server.stop()
})

interface Change {
  readonly type: string
  readonly key: string
  readonly revision: number
}

interface Page {
  readonly members: readonly { readonly expires_at: string }[]
}

/** Those of the collection of this test after a cursor; nothing comes twice, and revisions grow. */
async function changesSince(cursor: string): Promise<{ changes: Change[]; next: string }> {
  const path = `/v1/_changes?collection=jumps&since=${encodeURIComponent(cursor)}`
  const { changes, next } = await jsonOf<{ changes: Change[]; next: number | string }>(
    await fetch(server.url + path),
  )
  return { changes, next: String(next) }
}

const member = (key: string) => `${server.url}/v1/jumps/${key}`

async function revisionOf(response: Response): Promise<number> {
  expect(response.ok).toBe(true)
  return (await jsonOf<Change>(response)).revision
}

test('Last-Modified never lies after Date: set back, it is left out until it is right again', async () => {
  const dated = `${server.url}/v1/dated/k`
  await put(dated, '1')
  nowMs += 5000
  const written = (await fetch(dated)).headers.get('last-modified')
  expect(written).not.toBeNull()
  for (const days of [-1, -30, -400]) {
    nowMs += days * dayMs
    const { headers } = await fetch(dated)
    expect(headers.get('last-modified')).toBeNull()
    // Conditions by time can say nothing then; those by ETag still do.
    const conditional = await fetch(dated, { headers: { 'if-modified-since': written! } })
    expect(conditional.status).toBe(200)
    await conditional.body?.cancel()
    const unchanged = await fetch(dated, { headers: { 'if-none-match': headers.get('etag')! } })
    expect(unchanged.status).toBe(304)
    nowMs -= days * dayMs
  }
  expect((await fetch(dated)).headers.get('last-modified')).toBe(written)
})

test('jumps of days forwards and backwards keep revisions, expiry and the feed right', async () => {
  let lastRevision = 0
  let cursor = '0'
  const seen: Change[] = []
  for (const [i, days] of [0, 3, -5, 400, -400, 1, -1, 30, -365, 2].entries()) {
    nowMs += days * dayMs
    const day = `day${i}`
    const revision = await revisionOf(await put(member(`${day}-stays`), String(i)))
    expect(revision).toBeGreaterThan(lastRevision)
    lastRevision = await revisionOf(await put(`${member(`${day}-goes`)}?expire_in=12h`, String(i)))
    expect(lastRevision).toBeGreaterThan(revision)
    const shown = await jsonOf<Page>(await fetch(`${server.url}/v1/jumps?include=all&prefix=${day}-goes`))
    expect(shown.members[0]?.expires_at).toBe(new Date(nowMs + dayMs / 2).toISOString())
    expect((await fetch(member(`${day}-goes`))).status).toBe(200)

    // A jump ahead ends its life, for readers at once; the sweep notifies watchers; the way back revives nothing.
    nowMs += 2 * dayMs
    expect((await fetch(member(`${day}-goes`))).status).toBe(404)
    timers.pass(1000)
    await until(() => server.db.stats().swept > i, `the sweep took ${day}-goes`)
    nowMs -= 3 * dayMs
    expect((await fetch(member(`${day}-goes`))).status).toBe(404)
    expect(await (await fetch(member(`${day}-stays`))).text()).toBe(String(i))

    const page = await changesSince(cursor)
    seen.push(...page.changes)
    cursor = page.next
    expect(page.changes.map(({ type, key }) => `${type} ${key}`)).toEqual([
      `put ${day}-stays`,
      `expire ${day}-goes`,
    ])
    lastRevision = page.changes.at(-1)!.revision
    nowMs += dayMs
  }
  const revisions = seen.map(({ revision }) => revision)
  expect(revisions).toEqual([...new Set(revisions)].toSorted((a, b) => a - b))
})

test('an idempotency key replays its response while the clock goes back, and is forgotten after a day ahead', async () => {
  const post = async (key: string) => {
    const response = await fetch(`${server.url}/v1/posted`, {
      method: 'POST',
      headers: { 'idempotency-key': key, 'content-type': 'application/json' },
      body: '1',
    })
    expect(response.status).toBe(201)
    return response.headers.get('location')
  }
  const first = await post('a')
  for (const days of [-2, -30, 31]) {
    nowMs += days * dayMs
    expect(await post('a')).toBe(first)
  }
  nowMs += 3 * dayMs
  const second = await post('a')
  expect(second).not.toBe(first)
  nowMs -= 2 * dayMs
  expect(await post('a')).toBe(second)
  expect((await jsonOf<Page>(await fetch(`${server.url}/v1/posted?include=keys`))).members).toHaveLength(2)
})

test('ids that POST gives stay in order and apart over jumps', async () => {
  const ids: string[] = []
  for (const days of [0, -3, 10, -10, 0]) {
    nowMs += days * dayMs
    const response = await fetch(`${server.url}/v1/ids`, { method: 'POST', body: '1' })
    ids.push(response.headers.get('location')!)
  }
  expect(new Set(ids).size).toBe(ids.length)
})
