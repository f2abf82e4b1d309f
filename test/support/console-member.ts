import { expect } from 'bun:test'
import type { Page } from 'playwright-core'
import { type ConsoleBrowser, type ConsoleOptions, startConsoleBrowser } from './console.ts'
import { type ServerInProcess, serveInProcess } from './in-process-server.ts'
import { put } from './responses.ts'
import { eventually } from './until.ts'

/** Open members of the console, for tests in a browser. */

interface Hooks {
  readonly beforeAll: (run: () => Promise<void>) => void
  readonly afterAll: (run: () => Promise<void>) => void
}

/** What Chromium reports on its console: each response from 400 on. */
export const refusals = [/status of (?:404|412|501)/]

/** Starts a browser and a server for the tests of a file. */
export function openMembers({ beforeAll, afterAll }: Hooks) {
  let browser: ConsoleBrowser
  let server: ServerInProcess
  /** For the tests that need no other: what was loaded for one of them is there for the next. */
  let shared: Awaited<ReturnType<ConsoleBrowser['open']>>

  beforeAll(async () => {
    ;[browser, server] = await Promise.all([startConsoleBrowser(), serveInProcess()])
    // Chromium itself would style what it inserts in place of a selection; the editor draws it anew anyway.
    const expected = [...refusals, /status of 422/, /Applying inline style/]
    shared = await browser.open(`${server.url}/console/`, { expected })
  })
  afterAll(async () => {
    await shared?.close()
    await browser?.close()
    await server?.stop()
  })

  const at = (key: string, collection = 'users') =>
    `${server.url}/v1/${collection}/${encodeURIComponent(key)}`
  const pageOf = (key: string, collection = 'users') =>
    `${server.url}/console/c/${collection}/m/${encodeURIComponent(key)}`
  const textAt = async (key: string) => (await fetch(at(key))).text()
  return {
    at,
    pageOf,
    store: (key: string, value: string | Uint8Array<ArrayBuffer>, type = 'application/json') =>
      put(at(key), value, { 'content-type': type }),
    textAt,
    /** Waits until a member is stored with a text: what a page saves is stored some time later. */
    untilStored: (key: string, text: string) => eventually(async () => expect(await textAt(key)).toBe(text)),
    url: () => server.url,

    /** Opens the member of a key in the page that the tests share. */
    async onMember(
      key: string,
      run: (page: Page) => Promise<void>,
      { collection, width = 1280 }: { collection?: string; width?: number } = {},
    ): Promise<void> {
      await shared.page.setViewportSize({ width, height: 800 })
      await shared.page.goto(pageOf(key, collection))
      await run(shared.page)
    },

    /** Opens an address in a page of its own. */
    onPage: (url: string, run: (page: Page) => Promise<void>, options?: ConsoleOptions) =>
      browser.onPage(url, run, options),
    openPage: (url: string, options?: ConsoleOptions) => browser.open(url, options),
  }
}

export function editorOf(page: Page, key: string) {
  return page.getByRole('textbox', { name: `Value of ${key}` })
}

/** The button that saves, when it can: nothing is being saved, and there is something to save. */
export function readySave(page: Page) {
  return page.getByRole('button', { name: 'Save', exact: true, disabled: false })
}

/** Saves, and waits until the page says so, which it does for a moment only. */
export async function save(
  page: Page,
  press: () => Promise<void> = () => page.keyboard.press('Control+s'),
): Promise<void> {
  await Promise.all([page.getByText('Saved', { exact: true }).waitFor(), press()])
}

/** Types at the end of the first line of a member's JSON. */
export async function typeInto(page: Page, key: string, text: string): Promise<void> {
  await editorOf(page, key).click()
  await page.keyboard.press('Control+Home')
  await page.keyboard.press('End')
  await page.keyboard.insertText(text)
}
