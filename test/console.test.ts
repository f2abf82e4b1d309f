import { expect } from 'bun:test'
import type { Page } from 'playwright-core'
import {
  type ConsoleBrowser,
  expectAccessible,
  expectAccessibleInBothThemes,
  holdSave,
  pressSequence,
  screenshot,
  startConsoleBrowser,
} from './support/console.ts'
import { type ServerInProcess, serveInProcess } from './support/in-process-server.ts'
import { needing } from './support/needs.ts'
import { put } from './support/responses.ts'
import { startServer } from './support/server.ts'
import { runToEnd } from './support/spawn.ts'
import { eventually } from './support/until.ts'

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
    await page.getByRole('link', { name: 'users, 1 member' }).waitFor()
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
    `default-src 'none'; script-src 'self'; style-src 'self' 'nonce-${nonce}'; img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types svelte-trusted-html`,
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

test('the browser lets the page make no markup of texts, run no text, and ask no other server', async () => {
  const refused = 'Content Security Policy|Trusted(HTML|Script)|violates'
  await browser.onPage(
    `${server.url}/console/`,
    async (page) => {
      const tried = (code: string) =>
        page.evaluate<string>(`(async () => {
        try { ${code}; return 'done' } catch { return 'refused' }
      })()`)
      expect(await tried("document.body.innerHTML = '<b>'")).toBe('refused')
      expect(await tried("await fetch('http://127.0.0.1:9/')")).toBe('refused')
      expect(await tried("setTimeout('document.title = 1')")).toBe('refused')
      const style = `document.body.insertAdjacentElement('beforeend', Object.assign(document.createElement('style'), { textContent: 'body { color: red }' }))`
      await tried(style)
      expect(await page.evaluate<string>('getComputedStyle(document.body).color')).not.toBe('rgb(255, 0, 0)')
    },
    { expected: [new RegExp(refused), /^asked http:\/\/127\.0\.0\.1:9/] },
  )
})

test('a node that is a cache serves it too', async () => {
  const cache = await serveInProcess({ flags: ['--cache-of', server.url] })
  try {
    await browser.onPage(`${cache.url}/console/`, async (page) => {
      await page.getByText('Live', { exact: true }).waitFor()
      await page.getByRole('link', { name: 'users, 1 member' }).waitFor()
    })
  } finally {
    await cache.stop()
  }
})

test('a collection is made with its first member, and dropped by typing its name', async () => {
  await browser.onPage(`${server.url}/console/`, async (page) => {
    await page.getByRole('button', { name: 'New collection' }).first().click()
    const dialog = page.getByRole('dialog', { name: 'New collection' })
    const create = dialog.getByRole('button', { name: 'Create' })
    await dialog.getByLabel('Collection', { exact: true }).fill('_own')
    await dialog.getByText('Names that begin with _ are kvist’s own.').waitFor()
    expect(await create.isDisabled()).toBe(true)
    await dialog.getByLabel('Collection', { exact: true }).fill(oddName)
    await dialog.getByLabel('Key of the first member').fill('a/../b\u202e')
    await dialog.getByLabel('Its value, as JSON').fill('{"n": 1')
    await dialog.getByText('This is not JSON').waitFor()
    await dialog.getByLabel('Its value, as JSON').fill('{"n": 12345678901234567890}')
    await expectAccessible(page)
    await create.click()
    await page.waitForURL(`**/c/${encodeURIComponent(oddName)}/m/a%2F..%2Fb%E2%80%AE`)
    await page.getByRole('heading', { name: 'a/../b⟨202E⟩' }).waitFor()
    await page.getByRole('button', { name: 'Delete' }).click()
    await page.getByText(`a/../b⟨202E⟩ in ${shownOdd}`).waitFor()
    await expectNoTurnedText(page)
    await page.keyboard.press('Escape')
    const stored = await fetch(`${server.url}/v1/${encodeURIComponent(oddName)}/a%2F..%2Fb%E2%80%AE`)
    expect(await stored.text()).toBe('{"n": 12345678901234567890}')

    await page.getByRole('link', { name: 'kvist: all collections' }).click()
    await page.getByRole('button', { name: `Actions for ${shownOdd}` }).click()
    await screenshot(page, 'collections-menu')
    await page.getByRole('menuitem', { name: 'Drop…' }).click()
    const drop = page.getByRole('button', { name: 'Drop it' })
    expect(await drop.isDisabled()).toBe(true)
    await page.getByLabel(`Type “${shownOdd}” to confirm`).fill(shownOdd)
    await screenshot(page, 'collections-drop')
    await expectNoTurnedText(page)
    await drop.click()
    await page.getByText(`${shownOdd} is gone, with 1 member`).waitFor()
    await expectNoTurnedText(page)
    await page
      .getByRole('link', { name: new RegExp(RegExp.escape(shownOdd)) })
      .first()
      .waitFor({ state: 'detached' })
    expect((await fetch(`${server.url}/v1/${encodeURIComponent(oddName)}/a%2F..%2Fb%E2%80%AE`)).status).toBe(
      404,
    )
  })
})

test('settings are saved as a form has them; what the form does not show stays', async () => {
  const settings = `${server.url}/v1/_collections/users`
  await browser.onPage(
    `${server.url}/console/c/users/settings`,
    async (page) => {
      const save = page.getByRole('button', { name: 'Save' })
      await page.getByLabel('Default time to live').fill('soon')
      await page.getByText('Seconds, or a time like').waitFor()
      expect(await save.isDisabled()).toBe(true)
      await page.getByLabel('Default time to live').fill('7d')
      await page.getByLabel('Each read renews it').check()
      await page.getByLabel('Bytes at most').fill('64MiB')
      await page.getByLabel('Run before a member is stored').fill('mark')
      await page.getByLabel('JSON Schema that values must match').fill('{"type": "object"}')
      await page.keyboard.press('Control+s')
      await page.getByText('Settings saved').waitFor()
      expect(await (await fetch(settings)).json()).toMatchObject({
        default_ttl: 7 * 24 * 3600,
        sliding: true,
        max_bytes: 64 * 2 ** 20,
        processes: ['mark'],
        max_members: null,
        schema: { type: 'object' },
      })
      await fetch(settings, { method: 'PUT', body: '{"max_members": 9, "max_bytes": "64MiB"}' })
      await page.getByLabel('Default time to live').fill('1h')
      await save.click()
      await page.getByText('Someone else changed these settings meanwhile.').waitFor()
      expect(await page.getByLabel('Members at most').inputValue()).toBe('9')
      expect(await (await fetch(settings)).json()).toMatchObject({ default_ttl: null, max_members: 9 })
      const held = await holdSave(page)
      await save.click()
      await held.begun
      await page.getByLabel('Bytes at most').fill('1GiB')
      expect(await save.isDisabled()).toBe(true)
      held.release()
      // What is typed during a save stays, and can be saved.
      await page.getByRole('button', { name: 'Save', disabled: false }).waitFor()
      expect(await page.getByLabel('Bytes at most').inputValue()).toBe('1GiB')
      expect(await page.getByText('Someone else changed these settings meanwhile.').count()).toBe(0)
      expect(await (await fetch(settings)).json()).toMatchObject({
        default_ttl: 3600,
        max_members: 9,
        max_bytes: 64 * 2 ** 20,
      })
      await page.getByLabel('Run before a member is stored').fill('no-such-process')
      await save.click()
      await page.getByRole('alert').waitFor()
      await screenshot(page, 'settings-refused')
      await page.reload()
      expect(await page.getByLabel('Bytes at most').inputValue()).toBe('64MiB')
    },
    { expected: [/status of 4\d\d/] },
  )
  await fetch(settings, { method: 'DELETE' })
})

test('an index is made, shows how far it is, and is dropped and made again', async () => {
  const settings = `${server.url}/v1/_collections/indexed`
  const indexes = async () =>
    ((await (await fetch(settings)).json()) as { indexes: { name: string }[] }).indexes
  await put(`${server.url}/v1/indexed/a`, '{"city": "Umeå"}')
  await put(`${server.url}/v1/indexed/b`, '{"city": "Umeå"}')
  await browser.onPage(
    `${server.url}/console/c/indexed/settings`,
    async (page) => {
      const add = page.getByRole('button', { name: 'Add index' })
      await page.getByLabel('Name', { exact: true }).fill('by-city')
      await page.getByLabel('Fields, the first one first').fill('city')
      await page.getByText('A field is written from the value on').waitFor()
      expect(await add.isDisabled()).toBe(true)
      await page.getByLabel('Fields, the first one first').fill('@.city, @.name')
      await add.click()
      await page.getByText('Ready').waitFor()
      await expectAccessible(page)
      await screenshot(page, 'indexes')
      expect(await indexes()).toMatchObject([{ name: 'by-city', on: ['@.city', '@.name'], state: 'ready' }])
      await page.getByRole('button', { name: 'Drop the index by-city' }).click()
      await page.getByText('The index by-city is gone').waitFor()
      expect(await indexes()).toEqual([])
      await page.getByRole('button', { name: 'Make it again' }).click()
      await page.getByText('Ready').waitFor()
      await page.getByLabel('Name', { exact: true }).fill('one-each')
      await page.getByLabel('Fields, the first one first').fill('@.city')
      await page.getByLabel('No two members with the same values').check()
      await add.click()
      // Two members have the same city: it fails, now or when it is built, and says why.
      await page
        .getByText(/"a"|"b"|indexed\/a|\ba\b and b\b/)
        .first()
        .waitFor()
      await screenshot(page, 'indexes-failed')
    },
    { expected: [/status of 4\d\d/] },
  )
})

test('an empty store teaches the line that makes the first member, which appears by itself', async () => {
  const own = await serveInProcess()
  try {
    await browser.onPage(`${own.url}/console/`, async (page) => {
      await page.getByRole('heading', { name: 'This store is empty' }).waitFor()
      await page.getByText('Live', { exact: true }).waitFor()
      await expectAccessible(page)
      await screenshot(page, 'empty')
      const line = await page.locator('pre').textContent()
      expect(line).toContain(own.url)
      await runToEnd(['sh', '-c', line!])
      await page.getByRole('link', { name: 'users, 1 member' }).waitFor()
    })
  } finally {
    await own.stop()
  }
})

test('a server that is killed and comes back under an open page is followed again', async () => {
  const first = await startServer()
  const { page, close } = await browser.open(`${first.url}/console/`, { expected: [/ERR_|status of 5/] })
  try {
    await page.getByText('Live', { exact: true }).waitFor()
    await first.crash()
    await page.getByText('Reconnecting').waitFor()
    await screenshot(page, 'reconnecting')
    const again = await startServer({
      dataFolder: first.dataFolder,
      flags: ['--port', String(first.port)],
    })
    try {
      await put(`${again.url}/v1/after/the-crash`, '1')
      await page.getByText('Live', { exact: true }).waitFor()
      await page.getByRole('link', { name: 'after, 1 member' }).waitFor()
    } finally {
      await again.remove()
    }
  } finally {
    await close()
    await first.remove()
  }
})

test('paused, nothing moves; resumed, what happened meanwhile is there', async () => {
  await browser.onPage(`${server.url}/console/`, async (page) => {
    await page.getByText('Live', { exact: true }).waitFor()
    await page.keyboard.press('p')
    await page.getByText('Paused').waitFor()
    await put(`${server.url}/v1/meanwhile/a`, '1')
    await page.getByRole('button', { name: 'Follow changes again' }).click()
    await page.getByRole('link', { name: 'meanwhile, 1 member' }).waitFor()
  })
})

test('thousands of collections: those in view alone are drawn, and a filter and the arrows find one', async () => {
  const own = await serveInProcess()
  try {
    const names = Array.from({ length: 3000 }, (_, i) => `c${String(i).padStart(4, '0')}`)
    for (let from = 0; from < names.length; from += 500) {
      const operations = names
        .slice(from, from + 500)
        .map((collection) => ({ op: 'put', collection, key: 'k', value: 1 }))
      await fetch(`${own.url}/v1/_batch`, { method: 'POST', body: JSON.stringify({ operations }) })
    }
    await browser.onPage(`${own.url}/console/`, async (page) => {
      const nav = page.getByRole('navigation')
      await nav.getByRole('link', { name: 'c0000, 1 member' }).waitFor()
      expect(await nav.getByRole('listitem').count()).toBeLessThan(80)
      await page.getByLabel('Filter collections by name').fill('c29')
      await page.keyboard.press('ArrowDown')
      await page.keyboard.press('End')
      await page.keyboard.press('ArrowUp')
      await page.keyboard.press('Enter')
      await page.waitForURL('**/console/c/c2998')
    })
  } finally {
    await own.stop()
  }
})

test('on a phone there is one pane at a time, and Back leads from one to the other', async () => {
  await put(`${server.url}/v1/users/ada`, '{"name": "Ada"}')
  const phone = { width: 380, height: 760, hasTouch: true, colorScheme: 'dark' } as const
  await browser.onPage(
    `${server.url}/console/`,
    async (page) => {
      const nav = page.getByRole('navigation')
      await page.getByRole('link', { name: /^users/ }).click()
      await page.waitForURL('**/console/c/users')
      await nav.waitFor({ state: 'hidden' })
      await page.goto(`${server.url}/console/c/users/m/ada`)
      await page.goBack()
      await page.goBack()
      await nav.waitFor()
      expect(await page.evaluate<boolean>('document.documentElement.scrollWidth <= innerWidth')).toBe(true)
      await expectAccessible(page)
      await screenshot(page, 'phone')
    },
    phone,
  )
})

test('the keys are shown by ?, and lead everywhere', async () => {
  await browser.onPage(`${server.url}/console/`, async (page) => {
    await page.getByText('Live', { exact: true }).waitFor()
    await page.keyboard.press('?')
    await page.getByRole('dialog', { name: 'Keys' }).waitFor()
    await page.getByText('Go to overview').waitFor()
    await expectAccessible(page)
    await screenshot(page, 'keys')
    await page.keyboard.press('Escape')
    await page.getByRole('dialog').waitFor({ state: 'detached' })
    for (const [key, path] of [
      ['o', 'overview'],
      ['t', 'tokens'],
      ['i', 'transfer'],
      ['r', 'requests'],
      ['c', ''],
    ]) {
      await pressSequence(page, ['g', key!])
      await page.waitForURL(`**/console/${path}`)
    }
  })
})

test('with the keyboard alone: from the top of the page to a collection, its settings, and its end', async () => {
  await put(`${server.url}/v1/a-keyboard/a`, '1')
  await browser.onPage(`${server.url}/console/`, async (page) => {
    await page.getByRole('link', { name: 'a-keyboard, 1 member' }).waitFor()
    const focused = () =>
      page.evaluate<string>('(document.activeElement.ariaLabel ?? document.activeElement.textContent).trim()')
    const untilFocused = (name: string) => eventually(async () => expect(await focused()).toContain(name))
    const tabTo = async (name: string) => {
      for (let presses = 0; presses < 20; presses++) {
        await page.keyboard.press('Tab')
        if ((await focused()) === name) return
      }
      throw new Error(`Tab does not lead to ${name}`)
    }
    await tabTo('Pause the changes')
    await tabTo('New collection')
    // The list is one stop, whatever it holds: the arrows move in it.
    await page.keyboard.press('Tab')
    if ((await focused()) === 'Filter collections by name') await page.keyboard.press('Tab')
    await page.keyboard.press('Home')
    await untilFocused('a-keyboard, 1 member')
    await page.keyboard.press('Tab')
    await untilFocused('Overview')
    await tabTo('Actions for a-keyboard')
    const menu = page.getByRole('menu', { name: 'Actions for a-keyboard' })
    await page.keyboard.press('Enter')
    await menu.waitFor()
    await page.keyboard.press('ArrowDown')
    await page.keyboard.press('ArrowDown')
    await untilFocused('Drop…')
    await page.keyboard.press('Escape')
    await menu.waitFor({ state: 'hidden' })
    await untilFocused('Actions for a-keyboard')
    await page.keyboard.press('Enter')
    await menu.waitFor()
    await page.keyboard.press('End')
    await page.keyboard.press('Enter')
    await page.getByRole('dialog').waitFor()
    await page.keyboard.type('a-keyboard')
    await page.keyboard.press('Enter')
    await page.getByText('a-keyboard is gone, with 1 member').waitFor()
  })
})

test('assistive technology has landmarks, names and states', async () => {
  await put(`${server.url}/v1/users/ada`, '{"name": "Ada"}')
  await browser.onPage(`${server.url}/console/`, async (page) => {
    await page.getByText('Live', { exact: true }).waitFor()
    await page.getByRole('link', { name: 'users, 1 member' }).waitFor()
    const parts = [
      '- banner:',
      `- 'link "kvist: all collections"':`,
      '- status: Live',
      '- button "Pause the changes"',
      '- navigation "Collections and pages":',
      '- list "Collections":',
      '- main:',
      '- heading "Collections" [level=1]',
      '- list "Collections with their sizes":',
    ]
    await eventually(async () => {
      const tree = await page.locator('body').ariaSnapshot()
      expect(parts.filter((part) => !tree.includes(part))).toEqual([])
    })
  })
})

test('axe finds nothing on any page, in light and in dark', async () => {
  await put(`${server.url}/v1/users/ada`, '{"name": "Ada"}')
  const members = ['c/users', 'c/users/m/ada', 'c/users/settings']
  const paths = ['', ...members, 'overview', 'tokens', 'transfer', 'requests', 'nothing']
  await browser.onPage(`${server.url}/console/`, async (page) => {
    for (const path of paths) {
      await page.goto(`${server.url}/console/${path}`)
      await page.getByRole('heading', { level: 1 }).first().waitFor()
      await page.getByText('Live', { exact: true }).waitFor()
      await expectAccessibleInBothThemes(page)
      const fits = await page.evaluate<boolean>('document.documentElement.scrollWidth <= innerWidth')
      expect([path, fits]).toEqual([path, true])
    }
  })
})

test('what the first page loads is small', async () => {
  let bytes = 0
  await browser.onPage(
    'about:blank',
    async (page) => {
      const session = await page.context().newCDPSession(page)
      await session.send('Network.enable')
      session.on('Network.loadingFinished', ({ encodedDataLength }) => {
        bytes += encodedDataLength
      })
      await page.goto(`${server.url}/console/`)
      await page.getByText('Live', { exact: true }).waitFor()
    },
    { expected: [/.*/], hasOwnContext: true },
  )
  expect(bytes).toBeGreaterThan(20_000)
  expect(bytes).toBeLessThan(150_000)
})

/** A name that would be markup, and part of an address, where it is not escaped. */
const oddName = '<img src=x onerror=alert(1)> ?#%2f"\'\u202e'
const shownOdd = oddName.replace('\u202e', '⟨202E⟩')

/** No name that is shown, or read out, may turn the direction of the text around it. */
async function expectNoTurnedText(page: Page): Promise<void> {
  const turned = await page.evaluate<
    string[]
  >(`[...document.querySelectorAll('head title, body *')].flatMap((element) => [
    ...['aria-label', 'title', 'alt', 'placeholder'].map((name) => element.getAttribute(name) ?? ''),
    ...[...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE).map((node) => node.data),
  ]).filter((text) => text.includes('\\u202e'))`)
  expect(turned).toEqual([])
}
