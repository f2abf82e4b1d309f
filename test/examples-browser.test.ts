import { expect } from 'bun:test'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { startBrowser } from './support/browser.ts'
import { serveInProcess } from './support/in-process-server.ts'
import { needing } from './support/needs.ts'
import { put } from './support/responses.ts'
import { patienceMs } from './support/until.ts'

/** The shared counter of the examples, in two windows of a browser, whose page comes from another origin than kvist. */

needing('chromium').test('two windows count together, and see what the other one does', async () => {
  const pages = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    fetch: () => new Response(Bun.file(join(import.meta.dir, '../examples/counter.html'))),
  })
  const origin = pages.url.origin
  const server = await serveInProcess({ flags: ['--cors-origin', origin] })
  const browser = await startBrowser(['--disable-features=LocalNetworkAccessChecks'])
  const counter = `${server.url}/v1/counters/page`
  try {
    await put(counter, '7')
    const windows = await Promise.all(
      [1, 2].map(async () => {
        const page = await browser.newPage()
        page.setDefaultTimeout(patienceMs)
        await page.goto(`${origin}/counter.html?kvist=${server.url}`)
        await shows(page, '7')
        return page
      }),
    )
    const clicks = 5
    await Promise.all(
      windows.map((page) =>
        page.evaluate(`for (let i = 0; i < ${clicks}; i++) document.querySelector('button').click()`),
      ),
    )
    for (const page of windows) await shows(page, `${7 + 2 * clicks}`)
    expect(await (await fetch(counter)).json()).toBe(7 + 2 * clicks)
    await server.stop()
    await windows[0]!.waitForFunction(
      `document.querySelector('[role=status]').textContent === 'not connected'`,
    )
  } finally {
    await browser.close()
    await server.stop()
    await pages.stop(true)
  }
})

async function shows(page: Page, count: string): Promise<void> {
  await page.waitForFunction(`document.querySelector('output').value === '${count}'`)
}
