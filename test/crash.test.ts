import { afterAll, expect, test } from 'bun:test'
import { rmSync } from 'node:fs'
import { seededRandom, startLoad } from './support/load.ts'
import { isLongRun } from './support/long-run.ts'
import { countsOf } from './support/responses.ts'
import { newFolder, startServer } from './support/server.ts'

/**
 * `kill -9` at any moment loses no acknowledged write and leaves no half of a batch. `npm run soak -- --only kills` goes on
 * for as long as its option says.
 */

const rounds = isLongRun ? 30 : 6
const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31))

const dataFolder = newFolder()
afterAll(() => rmSync(dataFolder, { recursive: true, force: true }))

test(`a server that is killed ${rounds} times under load keeps every promise (SEED=${seed})`, async () => {
  const random = seededRandom(seed)
  const load = startLoad(random)
  for (let round = 0; round < rounds; round++) {
    const server = await startServer({ dataFolder })
    try {
      await load.verify(server.url)
      const running = load.run(server.url)
      // Now and then long enough for the log to be applied, with a kill in the middle of that.
      await Bun.sleep(round % 5 === 4 ? 1000 + random() * 1500 : 50 + random() * 450)
      await server.crash()
      await running
    } finally {
      await server.crash()
    }
  }
  const server = await startServer({ dataFolder })
  await load.verify(server.url)
  expect(await server.stop()).toBe(0)
  const again = await startServer({ dataFolder })
  await load.verify(again.url)
  await again.crash()
  expect(load.acknowledged()).toBeGreaterThan(rounds * 10)
})

/** Lines in the order of their keys, long enough that segments of the log fill and are flushed while more arrive. */
const lineOf = (i: number) => `{"key":"k${String(i).padStart(8, '0')}","value":"${'x'.repeat(900)}"}\n`

/** Imports lines without an end. */
function importForever(url: string): Promise<unknown> {
  let next = 0
  const body = new ReadableStream({
    pull(controller) {
      let text = ''
      for (const end = next + 200; next < end; next++) text += lineOf(next)
      controller.enqueue(Buffer.from(text))
    },
  })
  const headers = { 'content-type': 'application/x-ndjson' }
  return fetch(`${url}/v1/imported`, { method: 'POST', headers, body }).catch(() => {})
}

test('a server that is killed in an import has the first lines, in their order, and none behind them', async () => {
  const server = await startServer()
  const { dataFolder } = server
  const importing = importForever(server.url)
  let members = 0
  while (members < 20_000) members = (await countsOf(server.url, 'imported'))?.members ?? 0
  await server.crash()
  await importing
  const again = await startServer({ dataFolder })
  try {
    const { members: counted } = (await countsOf(again.url, 'imported'))!
    expect(counted).toBeGreaterThanOrEqual(members)
    const accept = 'application/x-ndjson'
    const lines = await (
      await fetch(`${again.url}/v1/imported?include=values`, { headers: { accept } })
    ).text()
    const expected = Array.from({ length: counted }, (_, i) => lineOf(i)).join('')
    expect(lines.replaceAll(',"expires_at":null', '') === expected).toBeTrue()
    const keys: string[] = []
    for (let since: string | undefined = '0'; since !== undefined; ) {
      const response = await fetch(`${again.url}/v1/_changes?since=${since}&include=keys&limit=10000`)
      const page = (await response.json()) as { changes: { key: string }[]; next: string }
      keys.push(...page.changes.map(({ key }) => key))
      since = page.changes.length === 0 ? undefined : page.next
    }
    expect(keys.length).toBe(counted)
    expect(keys).toEqual(keys.toSorted())
  } finally {
    await again.crash()
    rmSync(dataFolder, { recursive: true, force: true })
  }
})
