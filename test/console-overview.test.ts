import { expect } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { type EngineStatus, Kvist } from '../sdk/client.ts'
import {
  type ConsoleBrowser,
  type ConsoleOptions,
  expectAccessible,
  pressSequence,
  screenshot,
  startConsoleBrowser,
} from './support/console.ts'
import { type ServerInProcess, serveInProcess } from './support/in-process-server.ts'
import { needing } from './support/needs.ts'
import { put } from './support/responses.ts'
import { eventually, patienceMs } from './support/until.ts'

/** The overview in a browser, whose clock the tests move: what a load of theirs looks like in the charts. */

const { test, beforeAll, afterAll } = needing('chromium')

let browser: ConsoleBrowser
let server: ServerInProcess

beforeAll(async () => {
  ;[browser, server] = await Promise.all([startConsoleBrowser(), serveInProcess()])
  await put(`${server.url}/v1/users/ada`, '{"name": "Ada"}')
})

afterAll(async () => {
  await browser?.close()
  await server?.stop()
})

const secondMs = 1000

/** Opens the overview at a moment at which its clock stands still, with the first reading of the numbers. */
async function onOverview(
  url: string,
  run: (page: Page) => Promise<void>,
  options: ConsoleOptions = {},
): Promise<void> {
  await browser.onPage(
    `${url}/console/overview`,
    async (page) => {
      await page.getByRole('heading', { name: 'Requests' }).waitFor()
      await page.getByText('Up for').waitFor()
      await run(page)
    },
    { stoppedAtMs: Date.now(), ...options },
  )
}

/** Lets the page ask for the numbers once more, this much later. */
async function readingAfter(page: Page, ms: number): Promise<void> {
  const [response] = await Promise.all([
    page.waitForResponse((one) => one.url().endsWith('/metrics')),
    page.clock.runFor(ms),
  ])
  await response.finished()
}

/** A number in the table of a chart, such as `Reads` of `Requests`. */
function cell(page: Page, chart: string, line: string, column: 'Now' | 'Min' | 'Max' = 'Now') {
  const table = page.getByRole('table', { name: `${chart}:` })
  const row = table.getByRole('row').filter({ has: page.getByRole('rowheader', { name: line, exact: true }) })
  return row.getByRole('cell').nth(['Now', 'Min', 'Max'].indexOf(column))
}

async function numberIn(...where: Parameters<typeof cell>): Promise<number> {
  const text = await cell(...where).textContent()
  return Number.parseFloat((text ?? '').replaceAll(',', ''))
}

/** axe-core waits for timers, so the clock goes on from here. */
async function expectAccessibleNow(page: Page): Promise<void> {
  await page.clock.resume()
  await expectAccessible(page)
}

test('before two readings the charts say that there is nothing yet; then a load shows in them and in their tables', async () => {
  await onOverview(server.url, async (page) => {
    expect(await cell(page, 'Requests', 'Reads').textContent()).toBe('–')
    expect(await cell(page, 'Latency', 'p99').textContent()).toBe('–')
    await page.getByText('no requests').waitFor()
    await readingAfter(page, secondMs)
    const users = `${server.url}/v1/users`
    for (let i = 0; i < 40; i++) await fetch(`${users}/ada`)
    for (let i = 0; i < 10; i++) await put(`${users}/${i}`, '1')
    for (let i = 0; i < 4; i++) await put(`${users}/ada`, '1', { 'if-none-match': '*' })
    await readingAfter(page, 2 * secondMs)
    await page.getByRole('table', { name: 'Requests:' }).getByText(/^2\d/).first().waitFor()
    // The page itself reads the collections, too.
    expect(await numberIn(page, 'Requests', 'Reads')).toBeWithin(20, 23)
    expect(await numberIn(page, 'Requests', 'Writes')).toBe(7)
    expect(await cell(page, 'Errors', 'Refused').textContent()).toBe('2 /s')
    expect(await cell(page, 'Errors', 'Failed', 'Max').textContent()).toBe('0 /s')
    expect(await cell(page, 'Members', 'users').textContent()).toBe('11')
    expect(await cell(page, 'Members', 'users', 'Min').textContent()).toBe('1')
    expect(await cell(page, 'Latency', 'p99').textContent()).toMatch(/^[\d.]+ (ms|s)$/)
    expect(await numberIn(page, 'Cache hits', 'Hits')).toBeWithin(50, 101)
    expect(await numberIn(page, 'Memory', 'Process')).toBeGreaterThan(10)
    const summary = await page
      .getByRole('img', { name: /^Requests\. Reads: now 2\d/ })
      .getAttribute('aria-label')
    expect(summary).toMatch(/Writes: now 7 \/s, from [\d.]+ \/s to 7 \/s\.$/)

    await readingAfter(page, 2 * secondMs)
    await eventually(async () => expect(await numberIn(page, 'Requests', 'Writes')).toBe(0))
    await page.getByRole('img', { name: /^Requests/ }).focus()
    await page.keyboard.press('ArrowLeft')
    await page.keyboard.press('ArrowLeft')
    await page.getByRole('columnheader', { name: 'Then' }).nth(5).waitFor()
    expect(await cell(page, 'Errors', 'Refused').textContent()).toBe('2 /s')
    await page.keyboard.press('Tab')
    await page.getByRole('columnheader', { name: 'Then' }).first().waitFor({ state: 'detached' })
    await expectAccessibleNow(page)
  })
})

test('a server that is started anew under the page leaves a gap, not a spike, and a hidden page asks for nothing', async () => {
  const dataFolder = mkdtempSync(join(tmpdir(), 'kvist-test-'))
  const first = await serveInProcess({ dataFolder })
  let second: ServerInProcess | undefined
  try {
    await put(`${first.url}/v1/users/ada`, '1')
    await onOverview(
      first.url,
      async (page) => {
        for (let i = 0; i < 60; i++) await fetch(`${first.url}/v1/users/ada`)
        await readingAfter(page, secondMs)
        await page.getByRole('table', { name: 'Requests:' }).getByText(/^6\d/).first().waitFor()
        await first.stop()
        await page.clock.runFor(2 * secondMs)
        await page.getByText('The server does not give its numbers; these are of').waitFor()
        await screenshot(page, 'overview-away')
        second = await serveInProcess({ dataFolder, flags: ['--port', String(first.port)] })
        for (let i = 0; i < 10; i++) await fetch(`${first.url}/v1/users/ada`)
        await readingAfter(page, 2 * secondMs)
        await page.getByText('The server does not give its numbers').waitFor({ state: 'detached' })
        expect(await cell(page, 'Requests', 'Reads').textContent()).toBe('–')
        await readingAfter(page, 2 * secondMs)
        await page.getByRole('img', { name: /^Requests\. Reads: now \d/ }).waitFor()
        expect(await numberIn(page, 'Requests', 'Reads', 'Min')).toBeGreaterThanOrEqual(0)
        expect(await numberIn(page, 'Requests', 'Reads', 'Max')).toBeWithin(60, 70)

        let asked = 0
        page.on('request', (request) => {
          if (request.url().endsWith('/metrics')) asked++
        })
        await setVisibility(page, 'hidden')
        await page.clock.runFor(60 * secondMs)
        expect(asked).toBe(0)
        await setVisibility(page, 'visible')
        await page.getByRole('img', { name: /^Requests\. Reads: now –/ }).waitFor()
        expect(asked).toBe(1)
      },
      { expected: [/ERR_|status of 5/] },
    )
  } finally {
    await first.stop()
    await second?.stop()
    rmSync(dataFolder, { recursive: true, force: true })
  }
})

function setVisibility(page: Page, state: 'hidden' | 'visible'): Promise<unknown> {
  return page.evaluate(`Object.defineProperty(document, 'visibilityState', { value: '${state}', configurable: true })
    document.dispatchEvent(new Event('visibilitychange'))`)
}

test('nodes show how far behind they are', async () => {
  const target = await serveInProcess()
  const source = await serveInProcess({ flags: ['--mirror-to', target.url] })
  const follower = await serveInProcess({ flags: ['--follow', source.url] })
  try {
    await put(`${source.url}/v1/users/ada`, '1')
    await onOverview(source.url, async (page) => {
      const nodes = page.getByRole('region', { name: 'Nodes' })
      const untilShown = async (text: string) => {
        for (const until = Date.now() + patienceMs; Date.now() < until; ) {
          await page.clock.runFor(5 * secondMs)
          const found = await nodes
            .getByText(text)
            .waitFor({ timeout: 300 })
            .then(
              () => true,
              () => false,
            )
          if (found) return
        }
        throw new Error(`there is no ${text} in ${await nodes.textContent()}`)
      }
      await untilShown('lacks nothing')
      await untilShown('Is followed by')
      await nodes.getByText(target.url).waitFor()
      await nodes.getByText('This server takes writes').waitFor()
      await target.stop()
      for (const key of ['a', 'b', 'c']) await put(`${source.url}/v1/users/${key}`, '1')
      await untilShown('lacks 3 changes')
      await untilShown('Does not take changes; trying again')
      await nodes.scrollIntoViewIfNeeded()
      await screenshot(page, 'overview-nodes')
      await expectAccessibleNow(page)
    })
  } finally {
    await follower.stop()
    await source.stop()
    await target.stop()
  }
})

test('of very many collections the largest eight have a line, and the others one together', async () => {
  const own = await serveInProcess()
  try {
    const names = Array.from({ length: 1000 }, (_, i) => `c${String(i).padStart(3, '0')}`)
    const operations = names.flatMap((collection, i) =>
      Array.from({ length: i < 9 ? 10 - i : 1 }, (_, key) => ({
        op: 'put' as const,
        collection,
        key: `${key}`,
        value: 1,
      })),
    )
    const kvist = new Kvist(own.url)
    for (let from = 0; from < operations.length; from += 500)
      await kvist.batch({ operations: operations.slice(from, from + 500) })
    await onOverview(own.url, async (page) => {
      await page.route('**/v1/_engine', (route) => route.fulfill({ json: inRedis }))
      await page.clock.runFor(5 * secondMs)
      const lines = page.getByRole('region', { name: 'Lines of the cluster' })
      await lines.getByRole('row', { name: '0 10.0.0.1:6379 1,204 12 3.0 MB 9,000 12 behind 1' }).waitFor()
      await page.getByText('10.0.0.2:6379 420 B behind').waitFor()
      const table = page.getByRole('table', { name: 'Members:' })
      const lineNames = [...names.slice(0, 8), 'others']
      await eventually(async () =>
        expect(await table.getByRole('rowheader').allTextContents()).toEqual(lineNames),
      )
      expect(await cell(page, 'Members', 'c007').textContent()).toBe('3')
      expect(await cell(page, 'Members', 'others').textContent()).toBe('993')
    })
  } finally {
    await own.stop()
  }
})

/** What a server on Redis says of it; a real one is in test/redis-*.test.ts. */
const inRedis: EngineStatus = {
  engine: 'redis',
  primaries: [
    {
      address: '10.0.0.1:6379',
      version: '8.0.0',
      slots: 16384,
      memory_bytes: 3_000_000,
      max_memory_bytes: null,
      replicas: [{ address: '10.0.0.2:6379', lag_bytes: 420 }],
    },
  ],
  lines: [
    {
      line: 0,
      primary: '10.0.0.1:6379',
      revision: 9000,
      reported: 8988,
      members: 1204,
      tombstones: 12,
      memory_bytes: 3_000_000,
      gaps: 1,
    },
  ],
}

test('with a token that may not read everything the page says what is missing, and asks for nothing', async () => {
  const own = await serveInProcess({ env: { KVIST_TOKEN: 'root-of-the-test' } })
  try {
    const root = new Kvist(own.url, { token: 'root-of-the-test' })
    const { token } = await root.tokens.create({
      name: 'app',
      grants: [{ collections: 'users', can: ['read'] }],
    })
    await browser.onPage(
      `${own.url}/console/overview`,
      async (page) => {
        await page
          .getByRole('heading', { name: 'This token does not show the numbers of the server' })
          .waitFor()
        await expectAccessible(page)
      },
      { token },
    )
  } finally {
    await own.stop()
  }
})

test('on a phone in the dark it fits, and the keys lead there', async () => {
  await onOverview(
    server.url,
    async (page) => {
      await page.getByRole('link', { name: 'kvist: all collections' }).click()
      await pressSequence(page, ['g', 'o'])
      await page.getByText('Up for').waitFor()
      // Screenshots need lines to show.
      const readings = process.env.KVIST_SCREENSHOTS === undefined ? 3 : 20
      for (let i = 0; i < readings; i++) {
        for (let j = 0; j < (i * 7) % 11; j++) await fetch(`${server.url}/v1/users/ada`)
        await readingAfter(page, 2 * secondMs)
      }
      expect(await page.evaluate<boolean>('document.documentElement.scrollWidth <= innerWidth')).toBe(true)
      await screenshot(page, 'overview-phone')
      await page.setViewportSize({ width: 1280, height: 900 })
      await page.getByRole('navigation').waitFor()
      await screenshot(page, 'overview-dark')
      await page.emulateMedia({ colorScheme: 'light' })
      await page.getByText('5 min', { exact: true }).click()
      await page.waitForURL('**/overview?span=5m')
      await screenshot(page, 'overview')
      await page.setViewportSize({ width: 380, height: 760 })
      await expectAccessibleNow(page)
    },
    { width: 380, height: 760, hasTouch: true, colorScheme: 'dark', reducedMotion: 'reduce' },
  )
})
