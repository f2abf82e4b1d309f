import { expect } from 'bun:test'
import type { Browser, BrowserContext, Locator, Page } from 'playwright-core'
import { misdeedsOf, startBrowser } from './support/browser.ts'
import { type ServerInProcess, serveInProcess } from './support/in-process-server.ts'
import { needing } from './support/needs.ts'
import { eventually, patienceMs } from './support/until.ts'

const { afterAll, beforeAll, test } = needing('chromium')

/** `/docs` in a browser. */

const token = 'a-token'

let server: ServerInProcess
let browser: Browser
/** One for all pages, so that what the first has loaded and compiled is there for the others. */
let context: BrowserContext
beforeAll(async () => {
  ;[server, browser] = await Promise.all([serveInProcess({ env: { KVIST_TOKEN: token } }), startBrowser()])
  context = await browser.newContext()
  context.setDefaultTimeout(patienceMs)
})
afterAll(async () => {
  await browser?.close()
  await server?.stop()
})

/** Opens the page, and expects of whatever is done with it that it leads nowhere else and fails nowhere else. */
async function onPage(
  colorScheme: 'light' | 'dark',
  visit: (page: Page) => Promise<void>,
  failures: readonly unknown[] = [],
): Promise<void> {
  const page = await context.newPage()
  await page.emulateMedia({ colorScheme })
  const misdeeds = misdeedsOf(page, server.url)
  try {
    await page.goto(`${server.url}/docs`)
    await page.waitForSelector('.opblock')
    await visit(page)
  } finally {
    await page.close()
  }
  expect<readonly unknown[]>(misdeeds).toEqual(failures)
}

/** Clicks elements without the layout of this long page in between, which a pointer needs. */
function clickAll(elements: Locator): Promise<void> {
  return elements.evaluateAll((all) => {
    for (const one of all) (one as unknown as { click(): void }).click()
  })
}

/** Opens sections, all of them or one: at first only that of the members is open. */
async function openSections(page: Page, name = ''): Promise<void> {
  const which = name === '' ? '' : `[data-tag="${name}"]`
  const closed = page.locator(`.opblock-tag[data-is-open="false"]${which}`)
  await clickAll(closed)
  await eventually(async () => expect(await closed.count()).toBe(0))
}

/** Fills in an operation's form and sends it, and waits until the page shows this response. */
async function tryIt(
  page: Page,
  operation: string,
  expected: { readonly status: number; readonly shown: string },
  fields: Readonly<Record<string, string>>,
  body?: string,
): Promise<void> {
  const block = page.locator(`#operations-${operation}`)
  await openSections(page, operation.slice(0, operation.indexOf('-')))
  await clickAll(block.locator('.opblock-summary-control'))
  for (const [name, value] of Object.entries(fields)) {
    await block.locator(`tr[data-param-name="${name}"] input`).fill(value)
  }
  if (body !== undefined) await block.locator('.opblock-section-request-body textarea').fill(body)
  await block.locator('.execute').click()
  const reply = block.locator('.live-responses-table tbody')
  await eventually(async () => {
    const status = await reply.locator('.response-col_status').first().textContent()
    expect([status?.trim(), await reply.textContent()]).toEqual([
      `${expected.status}`,
      expect.stringContaining(expected.shown),
    ])
  })
}

async function authorize(page: Page, given: string): Promise<void> {
  await page.locator('.auth-wrapper .authorize').first().click()
  const bearer = page.locator('.modal-ux .auth-container', { hasText: 'bearer' })
  await bearer.locator('input').fill(given)
  await bearer.locator('.authorize').click()
  await bearer.locator('.btn-done').click()
}

test('it lists every operation that the document has', async () => {
  const document = (await (await fetch(`${server.url}/openapi.json`)).json()) as {
    info: { version: string }
    paths: Record<string, Record<string, { summary: string }>>
  }
  const named = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, { summary }]) => `${method.toUpperCase()} ${path} ${summary}`),
  )
  await onPage('light', async (page) => {
    await openSections(page)
    const shown = () =>
      page.locator('.opblock-summary').evaluateAll((blocks) =>
        blocks.map((block) =>
          ['.opblock-summary-method', '.opblock-summary-path', '.opblock-summary-description']
            // A path has places where its line may break.
            .map((part) => (block.querySelector(part)?.textContent ?? '').replaceAll('\u200b', ''))
            .join(' '),
        ),
      )
    await eventually(async () => expect((await shown()).toSorted()).toEqual(named.toSorted()))
    expect(await page.locator('.info .title').textContent()).toContain(document.info.version)
    await eventually(async () => expect(Number(await page.evaluate(brightness))).toBeGreaterThan(240))
  })
})

test('members come first, the other sections are folded, and nothing that writes or deletes is filled in', async () => {
  const page = await context.newPage()
  try {
    await page.goto(`${server.url}/docs`)
    await page.waitForSelector('.opblock')
    const sections = page.locator('.opblock-tag')
    const isOpen = await sections.evaluateAll((all) =>
      all.map((one) => one.getAttribute('data-is-open') === 'true'),
    )
    expect(isOpen.indexOf(true)).toBe(0)
    expect(isOpen.lastIndexOf(true)).toBe(0)
    expect(await sections.first().getAttribute('data-tag')).toBe('Members')
    const writes = page.locator('.opblock-put, .opblock-patch, .opblock-post, .opblock-delete')
    expect(await writes.count()).toBeGreaterThan(4)
    await clickAll(writes.locator('.opblock-summary-control'))
    await writes.last().locator('.parameters input').first().waitFor()
    const filled = await writes
      .locator('.parameters input')
      .evaluateAll((all) => all.map((one) => (one as unknown as { value: string }).value))
    expect(filled.length).toBeGreaterThan(4)
    expect(filled.filter((value) => value !== '')).toEqual([])
    const list = page.locator('#operations-Members-getMember')
    await clickAll(list.locator('.opblock-summary-control'))
    expect(await list.locator('tr[data-param-name="key"] input').inputValue()).toBe('dune')
  } finally {
    await page.close()
  }
})

test('an operation shows its schemas, with what they refer to', async () => {
  await onPage('light', async (page) => {
    await openSections(page, 'Nodes')
    const block = page.locator('#operations-Nodes-getNodes')
    await clickAll(block.locator('.opblock-summary-control'))
    const response = block.locator('tr.response[data-code="200"]')
    await response.locator('.tablinks[data-name="model"]').click()
    const targets = response.locator('.json-schema-2020-12-property', { hasText: 'targets' })
    await targets.locator('.json-schema-2020-12-expand-deep-button').click()
    // Of targets, and of their heals, each a schema of its own.
    await eventually(async () => expect(await targets.textContent()).toMatch(/lag_changes.*undecided/s))
  })
})

test('what it tries is done by this server, with the token that it was given', async () => {
  await onPage('light', async (page) => {
    await authorize(page, token)
    const member = { collection: 'tried', key: 'a b/c' }
    const stored = { status: 201, shown: '"key": "a b/c"' }
    await tryIt(page, 'Members-putMember', stored, member, '{"from": "the page"}')
    await tryIt(page, 'Members-getMember', { status: 200, shown: '"from": "the page"' }, member)
  })
  const headers = { authorization: `Bearer ${token}` }
  expect(await (await fetch(`${server.url}/v1/tried/a%20b%2Fc`, { headers })).text()).toBe(
    '{"from": "the page"}',
  )
})

test('with a token that grants some of it, it does that and shows what is missing of the rest', async () => {
  const created = await fetch(`${server.url}/v1/_tokens`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: '{"name": "page", "grants": [{"collections": "scoped", "key_prefix": "t1/", "can": ["read", "write"]}]}',
  })
  const scoped = ((await created.json()) as { token: string }).token
  const tryAll = async (page: Page) => {
    await authorize(page, scoped)
    const stored = { status: 201, shown: '"key": "t1/a"' }
    await tryIt(page, 'Members-putMember', stored, { collection: 'scoped', key: 't1/a' }, '1')
    await tryIt(page, 'Access-whoami', { status: 200, shown: '"name": "page"' }, {})
    const refused = { status: 403, shown: 'does not grant read on scoped/t2/a' }
    await tryIt(page, 'Members-getMember', refused, { collection: 'scoped', key: 't2/a' })
  }
  await onPage('light', tryAll, [expect.stringContaining('status of 403')])
})

/** What the page is drawn on, from 0, black, to 255; code for the browser. */
const brightness = `(() => {
  const opaque = [document.querySelector('.swagger-ui'), document.documentElement]
    .map((element) => getComputedStyle(element).backgroundColor)
    .find((colour) => !/, 0\\)$/.test(colour))
  return Math.max(...opaque.match(/\\d+/g).slice(0, 3).map(Number))
})()`

test('it is light where things are light and dark where they are dark, and follows', async () => {
  await onPage('dark', async (page) => {
    const drawn = async () => Number(await page.evaluate(brightness))
    const isDark = async () => expect(await drawn()).toBeLessThan(60)
    const isLight = async () => expect(await drawn()).toBeGreaterThan(240)
    await eventually(isDark)
    await page.emulateMedia({ colorScheme: 'light' })
    await eventually(isLight)
    await page.emulateMedia({ colorScheme: 'dark' })
    await eventually(isDark)
  })
})

test('the page may not so much as ask another server', async () => {
  const asked: string[] = []
  const other = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    fetch(request) {
      asked.push(request.url)
      return new Response('here', { headers: { 'access-control-allow-origin': '*' } })
    },
  })
  const page = await context.newPage()
  try {
    await page.goto(`${server.url}/docs`)
    const fetched = `fetch('${other.url}').then(() => 'answered', () => 'refused')`
    const loaded = (tag: string) => `new Promise((resolve) => {
      const element = document.createElement('${tag}')
      element.onload = () => resolve('answered')
      element.onerror = () => resolve('refused')
      element.src = '${other.url}'
      document.body.append(element)
    })`
    for (const attempt of [fetched, loaded('img'), loaded('script')]) {
      expect(await page.evaluate<string>(attempt)).toBe('refused')
    }
    expect(asked).toEqual([])
  } finally {
    await page.close()
    await other.stop(true)
  }
})

test('its files are there without a token, and no others', async () => {
  for (const file of ['swagger-ui-bundle.js', 'swagger-ui.css', 'start.js', 'style.css']) {
    const response = await fetch(`${server.url}/docs/${file}`)
    expect(response.status).toBe(200)
    expect(response.headers.get('content-type')).toBe(
      `text/${file.endsWith('js') ? 'javascript' : 'css'}; charset=utf-8`,
    )
    expect((await response.bytes()).length).toBeGreaterThan(100)
  }
  for (const file of ['package.json', '..%2Fdocs-page.ts', 'constructor', '%zz']) {
    expect((await fetch(`${server.url}/docs/${file}`)).status).toBe(404)
  }
})
