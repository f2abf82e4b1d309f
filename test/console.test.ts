import { expect } from 'bun:test'
import { type ConsoleBrowser, expectAccessible, screenshot, startConsoleBrowser } from './support/console.ts'
import { type ServerInProcess, serveInProcess } from './support/in-process-server.ts'
import { needing } from './support/needs.ts'
import { put } from './support/responses.ts'

/** The frame of the console in a browser: addresses, the connection, collections, and how it is served. */

const { test, beforeAll, afterAll } = needing('chromium')

let browser: ConsoleBrowser
let server: ServerInProcess

beforeAll(async () => {
  ;[browser, server] = await Promise.all([startConsoleBrowser(), serveInProcess()])
})

afterAll(async () => {
  await browser?.close()
  await server?.stop()
})

test('a browser that opens the server comes to the console, which is live and shows the collections', async () => {
  await put(`${server.url}/v1/users/ada`, '{"name": "Ada"}')
  await browser.onPage(server.url, async (page) => {
    expect(new URL(page.url()).pathname).toBe('/console/')
    await page.getByText('Live', { exact: true }).waitFor()
    await page.getByRole('link', { name: 'users' }).waitFor()
    await expectAccessible(page)
    await screenshot(page, 'start')
  })
})
