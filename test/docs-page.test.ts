import { expect } from 'bun:test'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { misdeedsOf, startBrowser } from './support/browser.ts'
import { needing } from './support/needs.ts'
import { startServer, type TestServer } from './support/server.ts'

const { afterAll, beforeAll, test } = needing('chromium')

/** `/docs` in a browser. */

const token = 'a-token'

let server: TestServer
let browser: Browser
/** One for all pages, so that what the first has loaded and compiled is there for the others. */
let context: BrowserContext
beforeAll(async () => {
  ;[server, browser] = await Promise.all([startServer({ env: { KVIST_TOKEN: token } }), startBrowser()])
  context = await browser.newContext()
})
afterAll(async () => {
  await browser?.close()
  await server?.remove()
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

/** Opens sections, all of them or one: at first only that of the members is open. */
async function openSections(page: Page, name = ''): Promise<void> {
  const which = name === '' ? '' : `[data-tag="${name}"]`
  for (
    const closed = page.locator(`.opblock-tag[data-is-open="false"]${which}`);
    (await closed.count()) > 0;
  ) {
    await closed.first().click()
  }
}

/** Fills in an operation's form and sends it; the status and body that the page then shows. */
async function tryIt(page: Page, operation: string, fields: Readonly<Record<string, string>>, body?: string) {
  const block = page.locator(`#operations-${operation}`)
  await openSections(page, operation.slice(0, operation.indexOf('-')))
  await block.locator('.opblock-summary-control').click()
  for (const [name, value] of Object.entries(fields)) {
    await block.locator(`tr[data-param-name="${name}"] input`).fill(value)
  }
  if (body !== undefined) await block.locator('.opblock-section-request-body textarea').fill(body)
  await block.locator('.execute').click()
  const reply = block.locator('.live-responses-table tbody')
  await reply.waitFor()
  return {
    status: (await reply.locator('.response-col_status').first().textContent())?.trim(),
    shown: await reply.textContent(),
  }
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
    const shown = await page.locator('.opblock-summary').evaluateAll((blocks) =>
      blocks.map((block) =>
        ['.opblock-summary-method', '.opblock-summary-path', '.opblock-summary-description']
          // A path has places where its line may break.
          .map((part) => (block.querySelector(part)?.textContent ?? '').replaceAll('\u200b', ''))
          .join(' '),
      ),
    )
    expect(shown.toSorted()).toEqual(named.toSorted())
    expect(await page.locator('.info .title').textContent()).toContain(document.info.version)
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
    for (const block of await writes.all()) await block.locator('.opblock-summary-control').click()
    await writes.last().locator('.parameters input').first().waitFor()
    for (const input of await writes.locator('.parameters input').all())
      expect(await input.inputValue()).toBe('')
    const list = page.locator('#operations-Members-getMember')
    await list.locator('.opblock-summary-control').click()
    expect(await list.locator('tr[data-param-name="key"] input').inputValue()).toBe('dune')
  } finally {
    await page.close()
  }
})

test('what it tries is done by this server, with the token that it was given', async () => {
  await onPage('light', async (page) => {
    await authorize(page, token)
    const put = await tryIt(
      page,
      'Members-putMember',
      { collection: 'tried', key: 'a b/c' },
      '{"from": "the page"}',
    )
    expect(put.status).toBe('201')
    expect(put.shown).toContain('"key": "a b/c"')
    const get = await tryIt(page, 'Members-getMember', { collection: 'tried', key: 'a b/c' })
    expect(get.status).toBe('200')
    expect(get.shown).toContain('"from": "the page"')
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
  await onPage('light', async (page) => {
    await authorize(page, scoped)
    const put = await tryIt(page, 'Members-putMember', { collection: 'scoped', key: 't1/a' }, '1')
    expect(put.status).toBe('201')
    const whoami = await tryIt(page, 'Access-whoami', {})
    expect(whoami.shown).toContain('"name": "page"')
  })
  const tryOthers = async (page: Page) => {
    await authorize(page, scoped)
    const get = await tryIt(page, 'Members-getMember', { collection: 'scoped', key: 't2/a' })
    expect(get.status).toBe('403')
    expect(get.shown).toContain('does not grant read on scoped/t2/a')
  }
  await onPage('light', tryOthers, [expect.stringContaining('status of 403')])
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
    expect(await drawn()).toBeLessThan(60)
    await page.emulateMedia({ colorScheme: 'light' })
    while ((await drawn()) < 240) await Bun.sleep(20)
    await page.emulateMedia({ colorScheme: 'dark' })
    while ((await drawn()) > 60) await Bun.sleep(20)
  })
  await onPage('light', async (page) => {
    expect(Number(await page.evaluate(brightness))).toBeGreaterThan(240)
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
