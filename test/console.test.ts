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

test('browsers come to it from where users of dialects look, and other clients see what they saw', async () => {
  const cases = [
    { flags: [], path: '/', to: '/console/', others: 200 },
    { flags: ['--dialect', 'tenantbase'], path: '/', to: '/console/', others: 200 },
    { flags: ['--dialect', 'minstore'], path: '/text', to: '/console/c/text', others: 404 },
    { flags: ['--no-console'], path: '/', to: '/docs', others: 200 },
    { flags: ['--dialect', 'minstore', '--no-console'], path: '/text', to: null, others: 404 },
  ]
  for (const { flags, path, to, others } of cases) {
    const own = await serveInProcess({ flags })
    try {
      const redirect = await fetch(own.url + path, { headers: { accept: 'text/html' }, redirect: 'manual' })
      expect([flags, redirect.headers.get('location')]).toEqual([flags, to])
      expect([flags, (await fetch(own.url + path)).status]).toEqual([flags, others])
      const isServed = !flags.includes('--no-console')
      expect((await fetch(`${own.url}/console/`)).status).toBe(isServed ? 200 : 404)
    } finally {
      await own.stop()
    }
  }
})

test('its files keep for a year, are compressed, and are asked for again with their tag', async () => {
  const page = await fetch(`${server.url}/console/c/users`)
  const policy = page.headers.get('content-security-policy')!
  const nonce = /'nonce-([^']+)'/.exec(policy)![1]!
  expect(policy).toBe(
    `default-src 'none'; script-src 'self'; style-src 'self' 'nonce-${nonce}'; img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  )
  const text = await page.text()
  expect(text).toContain(`nonce="${nonce}"`)
  expect(text).not.toMatch(/<script(?![^>]* src="\/console\/)|<style|style="/)
  const again = await fetch(`${server.url}/console/c/users`)
  expect(again.headers.get('content-security-policy')).not.toContain(nonce)

  const path = /src="([^"]+)"/.exec(text)![1]!
  const plain = await (await fetch(server.url + path, { headers: { 'accept-encoding': 'identity' } })).text()
  for (const coding of ['gzip', 'br']) {
    const file = await fetch(server.url + path, { headers: { 'accept-encoding': coding } })
    expect(file.headers.get('content-encoding')).toBe(coding)
    expect(file.headers.get('vary')).toBe('Accept-Encoding')
    expect(file.headers.get('cache-control')).toBe('public, max-age=31536000, immutable')
    expect(await file.text()).toBe(plain)
    const tag = file.headers.get('etag')!
    const known = await fetch(server.url + path, { headers: { 'if-none-match': tag } })
    expect([known.status, await known.text()]).toEqual([304, ''])
  }
  for (const none of ['assets/none.js', 'assets/', 'assets/..%2findex.html']) {
    expect((await fetch(`${server.url}/console/${none}`)).status).toBe(404)
  }
})

test('a node that is a cache serves it too', async () => {
  const cache = await serveInProcess({ flags: ['--cache-of', server.url] })
  try {
    await browser.onPage(`${cache.url}/console/`, async (page) => {
      await page.getByText('Live', { exact: true }).waitFor()
      await page.getByRole('link', { name: 'users' }).waitFor()
    })
  } finally {
    await cache.stop()
  }
})
