import { afterAll, describe, expect, test } from 'bun:test'
import { readFileSync, rmSync } from 'node:fs'
import type { Stored } from '../sdk/types.ts'
import { startBrowser } from './support/browser.ts'
import { until } from './support/engine.ts'
import { changeOf, type Folded, fold, openWatch, type SentEvent, sorted, stateOf } from './support/events.ts'
import { isLongRun } from './support/long-run.ts'
import { needing } from './support/needs.ts'
import { parseSamples, sampleOf } from './support/prometheus.ts'
import { random, seedOfRun } from './support/random.ts'
import { type RawWatch, rawWatch } from './support/raw-watch.ts'
import { jsonOf, put } from './support/responses.ts'
import { newFolder, startServer, type TestServer } from './support/server.ts'

/** Those who watch, and what may befall them: the server is killed or stopped, a reader sleeps, leaves, comes again. */

const folders: string[] = []
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

async function withServer(
  use: (server: TestServer) => Promise<void>,
  flags: readonly string[] = [],
): Promise<void> {
  const server = await startServer({ flags })
  try {
    await use(server)
  } finally {
    await server.remove()
  }
}

function importLines(server: TestServer, collection: string, lines: readonly string[]): Promise<Response> {
  return fetch(`${server.url}/v1/${collection}`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson' },
    body: lines.join('\n'),
  })
}

async function metric(server: TestServer, name: string, labels: Record<string, string>): Promise<number> {
  const text = await (await fetch(`${server.url}/metrics`)).text()
  return sampleOf(parseSamples(text), name, labels)!
}

function openWatches(server: TestServer, kind: string): Promise<number> {
  return metric(server, 'kvist_open_watches', { kind })
}

function residentMb({ pid }: TestServer): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) / 1024
}

test('a reader that resumes after each of several kills ends up with the state of the store', async () => {
  const seed = seedOfRun()
  const chance = random(seed)
  const dataFolder = newFolder()
  folders.push(dataFolder)
  let server = await startServer({ dataFolder })
  const thousand = isLongRun ? 1000 : 250
  const lines = Array.from({ length: 50 * thousand }, (_, i) => `{"key":"k${i}","value":{"n":${i}}}`)
  await jsonOf(importLines(server, 'many', lines))
  const state: Folded = new Map()
  let lastId = '0'
  let reported = 0
  let lastRevision = 0
  function apply(event: SentEvent): void {
    lastId = event.lastId
    const change = changeOf(event)
    expect({ seed, later: change.revision > lastRevision }).toEqual({ seed, later: true })
    lastRevision = change.revision
    fold(state, change)
    reported++
  }
  /** Changes members until the server is gone. */
  async function write(url: string): Promise<void> {
    for (;;) {
      const path = `${url}/v1/many/k${chance.int(60 * thousand)}`
      const written = chance.oneIn(3) ? fetch(path, { method: 'DELETE' }) : put(path, `"${chance.int(1e9)}"`)
      if ((await written.catch(() => null)) === null) return
    }
  }
  try {
    for (const enough of [
      5 * thousand + chance.int(10 * thousand),
      20 * thousand + chance.int(10 * thousand),
      45 * thousand,
    ]) {
      const writing = write(server.url)
      const watch = await openWatch(`${server.url}/v1/_changes?since=0`, { 'last-event-id': lastId }, apply)
      await watch.untilSo(() => reported >= enough)
      await server.crash()
      await Promise.all([watch.ended, writing])
      server = await startServer({ dataFolder })
    }
    expect(reported).toBeGreaterThanOrEqual(45 * thousand)
    const { revision } = await jsonOf<Stored>(put(`${server.url}/v1/many/last`, '"end"'))
    const watch = await openWatch(`${server.url}/v1/_changes`, { 'last-event-id': lastId }, apply)
    await watch.untilSo(() => lastRevision >= revision)
    watch.close()
    const store = await stateOf(server.url)
    expect(store.size).toBeGreaterThan(40 * thousand)
    expect({ seed, state: sorted(state) }).toEqual({ seed, state: sorted(store) })
  } finally {
    await server.remove()
  }
})

test('a reader that sleeps while 100 MB are written slows no other, and catches up when it wakes', async () => {
  await withServer(async (server) => {
    const keys = 100
    const pad = 'x'.repeat(50_000)
    /** Fifty megabytes each. */
    async function writeRound(round: number): Promise<void> {
      for (let from = 0; from < 1000; from += 20) {
        await Promise.all(
          Array.from({ length: 20 }, (_, i) =>
            put(
              `${server.url}/v1/wide/k${(from + i) % keys}`,
              `{"at":${round * 1000 + from + i},"pad":"${pad}"}`,
            ),
          ),
        )
      }
    }
    // What writing alone takes.
    for (const round of [0, 1, 2, 3]) await writeRound(round)
    const beforeMb = residentMb(server)

    const asleep: Folded = new Map()
    let asleepAt = 0
    const sleeper = await rawWatch(server.port, '/v1/wide', {
      onEvent(event) {
        const change = changeOf(event)
        expect(change.revision).toBeGreaterThan(asleepAt)
        asleepAt = change.revision
        fold(asleep, change)
      },
    })
    sleeper.pause()
    const awake: Folded = new Map()
    let awakeAt = 0
    const reader = await openWatch(`${server.url}/v1/wide`, {}, (event) => {
      const change = changeOf(event)
      expect(change.revision).toBeGreaterThan(awakeAt)
      awakeAt = change.revision
      fold(awake, change)
    })
    for (const round of [4, 5]) await writeRound(round)
    const { revision } = await jsonOf<Stored>(put(`${server.url}/v1/wide/last`, '"end"'))
    await reader.untilSo(() => awakeAt >= revision)
    const afterMb = residentMb(server)
    expect(sorted(awake)).toEqual(sorted(await stateOf(server.url)))
    expect(await metric(server, 'kvist_watch_fallbacks_total', {})).toBeGreaterThanOrEqual(1)
    // All of it waiting for the sleeper would be a hundred.
    expect(afterMb - beforeMb).toBeLessThan(90)
    expect(sleeper.received()).toBeLessThan(20_000_000)

    sleeper.resume()
    await until(() => asleepAt >= revision, 'the sleeper has caught up')
    expect(sorted(asleep)).toEqual(sorted(await stateOf(server.url)))
    // It got the latest states, not all that there were.
    expect(sleeper.received()).toBeLessThan(40_000_000)
    sleeper.destroy()
    reader.close()
  })
})

test('thousands come and go, and leave nothing behind', async () => {
  await withServer(async (server) => {
    const seed = seedOfRun()
    const chance = random(seed)
    const paths = ['/v1/c/k', '/v1/c', '/v1/_changes', '/v1/_changes?since=0']
    await importLines(
      server,
      'c',
      Array.from({ length: 2000 }, (_, i) => `{"key":"k${i}","value":"${'x'.repeat(200)}"}`),
    )
    async function comeAndGo(times: number): Promise<void> {
      for (let i = 0; i < times; i++) {
        const watch = await rawWatch(server.port, chance.pick(paths))
        if (chance.oneIn(5)) await put(`${server.url}/v1/c/k`, String(i))
        if (chance.oneIn(2)) watch.destroy()
        else watch.end()
        await watch.closed
      }
    }
    const many = (times: number) => Promise.all(Array.from({ length: 50 }, () => comeAndGo(times)))
    await many(10)
    const beforeMb = residentMb(server)
    await many(isLongRun ? 60 : 15)
    for (const kind of ['member', 'collection', 'store']) {
      await until(async () => (await openWatches(server, kind)) === 0, `nobody watches a ${kind}`)
    }
    await until(async () => (await metric(server, 'kvist_open_requests', {})) === 1, 'only this one is open')
    // The runtime gives memory back some time after it was freed.
    await until(() => residentMb(server) - beforeMb < 40, 'they have left nothing behind')
  })
})

const watchers = isLongRun ? 1000 : 300

test(`${watchers} who watch one key miss nothing of a hundred changes a second, in their order`, async () => {
  await withServer(async (server) => {
    // Fewer than wait for a slow reader before it is sent to the store, where only the latest state is.
    const changes = isLongRun ? 250 : 60
    const seen = Array.from({ length: watchers }, () => ({ count: 0, last: -1, inOrder: true }))
    const watches: RawWatch[] = []
    for (let from = 0; from < seen.length; from += 50) {
      const opened = seen.slice(from, from + 50).map((one) =>
        rawWatch(server.port, '/v1/c/k', {
          onEvent({ data }) {
            const value = Number(/"value":(\d+)/.exec(data)![1])
            if (value <= one.last) one.inOrder = false
            one.last = value
            one.count++
          },
        }),
      )
      watches.push(...(await Promise.all(opened)))
    }
    expect(await openWatches(server, 'member')).toBe(watchers)
    for (let i = 0; i < changes; i++)
      await Promise.all([put(`${server.url}/v1/c/k`, String(i)), Bun.sleep(10)])
    await until(() => seen.every(({ last }) => last === changes - 1), 'all have notified of the last change')
    expect(seen.every(({ inOrder }) => inOrder)).toBe(true)
    expect(new Set(seen.map(({ count }) => count))).toEqual(new Set([changes]))
    for (const watch of watches) watch.destroy()
  })
})

describe('a server that stops', () => {
  test('ends all streams and polls at once, and does not wait for who does not read', async () => {
    await withServer(
      async (server) => {
        const streams = [await rawWatch(server.port, '/v1/c/k'), await rawWatch(server.port, '/v1/_changes')]
        const { revision } = await jsonOf<Stored>(put(`${server.url}/v1/c/poll`, '1'))
        const poll = fetch(`${server.url}/v1/c/poll?wait=5m`, {
          headers: { 'if-none-match': `"${revision}"` },
        })
        const sleeper = await rawWatch(server.port, '/v1/wide')
        sleeper.pause()
        const pad = 'x'.repeat(1_000_000)
        for (let i = 0; i < 30; i++) await put(`${server.url}/v1/wide/k${i}`, `"${pad}"`)
        await until(async () => (await openWatches(server, 'poll')) === 1, 'the poll waits')
        const startedMs = performance.now()
        expect(await server.stop()).toBe(0)
        // It may take ten minutes here for what is in flight.
        expect(performance.now() - startedMs).toBeLessThan(30_000)
        expect((await poll).status).toBe(304)
        for (const stream of streams) expect(await stream.closed).toBe('finished')
        sleeper.resume()
        expect(await sleeper.closed).toBe('broken')
        expect(server.output()).not.toContain('"level":"error"')
      },
      ['--stop-timeout', '600'],
    )
  })

  test('still lets finish what is neither', async () => {
    await withServer(async (server) => {
      const watch = await openWatch(`${server.url}/v1/c/k`)
      let finish = () => {}
      const body = new ReadableStream<Uint8Array>({
        start(controller) {
          controller.enqueue(Buffer.from('{"at":'))
          finish = () => {
            controller.enqueue(Buffer.from('1}'))
            controller.close()
          }
        },
      })
      const slow = fetch(`${server.url}/v1/c/slow`, { method: 'PUT', body })
      await until(async () => (await metric(server, 'kvist_open_requests', {})) === 3, 'the PUT has begun')
      const stopped = server.stop()
      await watch.ended
      finish()
      expect((await slow).status).toBe(201)
      expect(await stopped).toBe(0)
    })
  })
})

needing('chromium').test(
  'EventSource of a browser reconnects by itself to a server that starts again, and misses nothing',
  async () => {
    const dataFolder = newFolder()
    folders.push(dataFolder)
    let server = await startServer({ dataFolder })
    const sameAgain = ['--port', String(server.port)]
    const browser = await startBrowser()
    try {
      const page = await browser.newPage()
      // Only the pages of the server itself may open a stream: what else it sends is sandboxed.
      await page.goto(`${server.url}/docs`)
      await page.evaluate(`
      window.seen = []
      window.opened = 0
      const source = new EventSource('/v1/c')
      source.onopen = () => window.opened++
      for (const type of ['put', 'delete', 'expire', 'reset', 'message']) {
        source.addEventListener(type, ({ type, data, lastEventId }) => {
          const { key, value } = JSON.parse(data)
          window.seen.push([type, key, value ?? null, lastEventId])
        })
      }
    `)
      const opened = (times: number) =>
        until(async () => Number(await page.evaluate('window.opened')) >= times, `opened ${times} times`)
      await opened(1)
      const expected: [type: string, key: string, value: number | null, id: string][] = []
      async function write(key: string, value: number): Promise<void> {
        const { revision } = await jsonOf<Stored>(put(`${server.url}/v1/c/${key}`, String(value)))
        expected.push(['put', key, value, String(revision)])
      }
      const notices = () =>
        until(
          async () => JSON.stringify(await page.evaluate('window.seen')) === JSON.stringify(expected),
          `the browser has seen ${JSON.stringify(expected)}`,
        )

      // It has not received anything yet when it loses the first server, and must not start from there again.
      await server.stop()
      server = await startServer({ dataFolder })
      await write('while-away', 0)
      await server.stop()
      server = await startServer({ dataFolder, flags: sameAgain })
      await opened(2)
      await notices()

      for (let i = 0; i < 20; i++) await write(`k${i % 3}`, i)
      await notices()
      await server.crash()
      server = await startServer({ dataFolder })
      await write('another', 1)
      await fetch(`${server.url}/v1/c/k0`, { method: 'DELETE' })
      await server.stop()
      server = await startServer({ dataFolder, flags: sameAgain })
      await opened(3)
      const lastSeen = async () =>
        (await page.evaluate('window.seen.at(-1)')) as [string, string, null, string]
      await until(async () => (await lastSeen())[0] === 'delete', 'the browser has seen the delete')
      const last = await lastSeen()
      expect(last.slice(0, 3)).toEqual(['delete', 'k0', null])
      expected.push(['delete', 'k0', null, last[3]])
      await notices()
    } finally {
      await browser.close()
      await server.remove()
    }
  },
)
