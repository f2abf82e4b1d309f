import { expect } from 'bun:test'
import type { Locator, Page } from 'playwright-core'
import { type ConsoleBrowser, expectAccessible, screenshot, startConsoleBrowser } from './support/console.ts'
import { type ServerInProcess, serveInProcess } from './support/in-process-server.ts'
import { needing } from './support/needs.ts'
import { put } from './support/responses.ts'
import { eventually } from './support/until.ts'

/** The workbench of the console in a browser: a request is found, filled in and sent, and its response shown. */

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

const requests = () => `${server.url}/console/requests`
const search = (page: Page) => page.getByRole('combobox', { name: 'Find a request' })
const targetOf = (page: Page) => page.getByRole('textbox', { name: 'Path and query' })
const response = (page: Page) => page.getByRole('region', { name: 'Response' })
const bodyOf = (page: Page) => page.getByRole('region', { name: 'Body of the response' })
const untilTextIs = (element: Locator, text: string) =>
  eventually(async () => expect(await element.textContent()).toBe(text))
const untilValueIs = (field: Locator, value: string) =>
  eventually(async () => expect(await field.inputValue()).toBe(value))

test('a request is found by words, filled in by its fields, and sent by keyboard alone', async () => {
  await browser.onPage(requests(), async (page) => {
    await search(page).fill('stores a value')
    await page.getByRole('option', { name: 'PUT /v1/{collection}/{key}' }).waitFor()
    await screenshot(page, 'requests-find')
    await search(page).press('Enter')
    await untilValueIs(targetOf(page), '/v1/{collection}/{key}')
    await page.getByText('Fill in collection and key to send it.').waitFor()
    expect(await page.getByRole('button', { name: 'Send' }).isDisabled()).toBe(true)

    await page.getByRole('textbox', { name: 'collection' }).fill('bööks')
    await page.getByRole('textbox', { name: 'key' }).fill('a/b c')
    await page.getByRole('textbox', { name: 'expire_in' }).fill('1h')
    await untilValueIs(targetOf(page), '/v1/b%C3%B6%C3%B6ks/a/b%20c?expire_in=1h')
    await page.getByRole('textbox', { name: 'Body' }).fill('{"n":1.0}')
    await page.keyboard.press('Control+Enter')
    await response(page).getByText('201 Created').waitFor()
    await expectAccessible(page)
    await screenshot(page, 'requests-sent')
    expect(await (await fetch(`${server.url}/v1/b%C3%B6%C3%B6ks/a%2Fb%20c`)).text()).toBe('{"n":1.0}')
  })
})

test('a response is text whatever it holds, JSON is indented, and an error is shown as it is', async () => {
  await put(`${server.url}/v1/pages/x`, '<script>document.title="no"</script>', {
    'content-type': 'text/html',
  })
  await put(`${server.url}/v1/pages/n`, '{"a":[1.0,2e400]}')
  await browser.onPage(
    `${requests()}?method=GET&target=%2Fv1%2Fpages%2Fx`,
    async (page) => {
      await page.getByRole('button', { name: 'Send' }).click()
      await response(page).getByText('200 OK').waitFor()
      await untilTextIs(bodyOf(page), '<script>document.title="no"</script>')
      expect(await page.title()).not.toBe('no')

      await targetOf(page).fill('/v1/pages/n')
      await page.keyboard.press('Enter')
      await page.getByText('2e400').waitFor()
      await untilTextIs(bodyOf(page), '{\n  "a": [\n    1.0,\n    2e400\n  ]\n}')
      await response(page).getByLabel('As it was sent').check()
      await untilTextIs(bodyOf(page), '{"a":[1.0,2e400]}')

      await targetOf(page).fill('/v1/pages/none')
      await page.keyboard.press('Enter')
      await response(page).getByText('404 Not Found').waitFor()
      await targetOf(page).fill('http://127.0.0.1:9/')
      await page.getByText('It begins with a slash').waitFor()
      expect(await page.getByRole('button', { name: 'Send' }).isDisabled()).toBe(true)
      await page.getByRole('navigation', { name: 'Sent before' }).getByText('/v1/pages/x').click()
      await untilValueIs(targetOf(page), '/v1/pages/x')
    },
    { expected: [/status of 404/] },
  )
})

test('a stream is shown as far as it has come, and what destroys is never filled in', async () => {
  await put(`${server.url}/v1/live/a`, '1')
  await browser.onPage(requests(), async (page) => {
    await search(page).fill('drops')
    await search(page).press('Enter')
    await untilValueIs(targetOf(page), '/v1/{collection}')
    expect(await page.getByRole('button', { name: 'Send' }).isDisabled()).toBe(true)
    await page.getByLabel('Method').selectOption('GET')
    await targetOf(page).fill('/v1/live/a')
    await page.getByRole('textbox', { name: 'Headers' }).fill('Accept: text/event-stream\nX-Y: 1')
    await page.getByRole('button', { name: 'Send' }).click()
    await response(page).getByText('and more').waitFor()
    await page.getByRole('textbox', { name: 'Headers' }).fill('no header')
    await page.getByText('“no header” is no header').waitFor()
  })
})

test('on a phone, and in the dark', async () => {
  await browser.onPage(
    requests(),
    async (page) => {
      await search(page).fill('list')
      await search(page).press('Enter')
      await expectAccessible(page)
      const edges = await page.evaluate<number[]>(
        '[...document.querySelectorAll("main *")].map((one) => one.getBoundingClientRect().right)',
      )
      expect(Math.max(...edges)).toBeLessThanOrEqual(380)
      // A phone zooms in on a field with smaller text.
      const sizes = await page.evaluate<number[]>(
        '[...document.querySelectorAll("input, select, textarea")].map((one) => parseFloat(getComputedStyle(one).fontSize))',
      )
      expect(Math.min(...sizes)).toBe(16)
      await screenshot(page, 'requests-phone')
    },
    { width: 380, height: 760, hasTouch: true, colorScheme: 'dark' },
  )
})
