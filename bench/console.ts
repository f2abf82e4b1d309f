/**
 * Measures the console in Chromium over loopback, with an empty browser cache each time: what the first page transfers, how
 * long until something is painted, and how long until the collections are there and the page is live.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser } from 'playwright-core'
import { startBrowser } from '../test/support/browser.ts'
import { startServer } from './process.ts'
import { median } from './statistics.ts'

const port = 17_701
const rounds = 15
const url = `http://127.0.0.1:${port}`
const collections = ['cities', 'flags', 'notes', 'sessions', 'users']

interface Load {
  readonly paintMs: number
  readonly readyMs: number
  readonly bytes: number
}

async function load(browser: Browser): Promise<Load> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } })
  try {
    const page = await context.newPage()
    const network = await context.newCDPSession(page)
    let bytes = 0
    await network.send('Network.enable')
    network.on('Network.loadingFinished', ({ encodedDataLength }) => {
      bytes += encodedDataLength
    })
    await page.goto(`${url}/console/`)
    await page.getByRole('link', { name: /^users, / }).waitFor()
    await page.getByText('Live', { exact: true }).waitFor()
    const readyMs = await page.evaluate<number>('performance.now()')
    const paintMs = await page.evaluate<number>(
      `performance.getEntriesByName('first-contentful-paint')[0].startTime`,
    )
    return { paintMs, readyMs, bytes }
  } finally {
    await context.close()
  }
}

const folder = mkdtempSync(join(tmpdir(), 'kvist-bench-console-'))
const program = join(import.meta.dir, '../bin/kvist')
const server = startServer('kvist', [program, 'serve', '--port', `${port}`, '--data', folder], folder)
const browser = await startBrowser()
try {
  for (const collection of collections) {
    const put = () => fetch(`${url}/v1/${collection}/first`, { method: 'PUT', body: '{}' })
    while (!(await put().catch(() => null))?.ok) await Bun.sleep(50)
  }
  // The first one warms the server and the browser's process up.
  await load(browser)
  const loads: Load[] = []
  for (let round = 0; round < rounds; round++) loads.push(await load(browser))
  const of = (pick: (load: Load) => number) => loads.map(pick).toSorted((a, b) => a - b)
  const shown = (values: readonly number[]) => `${median(values).toFixed(0)} | ${values.at(-1)!.toFixed(0)}`
  console.log(`| ${rounds} loads | median | slowest |
| --- | --- | --- |
| first paint, ms | ${shown(of(({ paintMs }) => paintMs))} |
| live, with the collections, ms | ${shown(of(({ readyMs }) => readyMs))} |
| transferred, kB | ${shown(of(({ bytes }) => bytes / 1000))} |`)
} finally {
  await browser.close()
  await server.stop()
  rmSync(folder, { recursive: true, force: true })
}
