import { expect } from 'bun:test'
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { RunOptions } from 'axe-core'
import type { BrowserContext, BrowserContextOptions, Page } from 'playwright-core'
import { misdeedsOf, startBrowser } from './browser.ts'
import { patienceMs } from './until.ts'

/**
 * The console in Chromium, for tests: one browser for a test file, and one context, so that what a page has loaded and compiled
 * is there for the next one. What the console keeps is kept for a tab.
 */

const root = join(import.meta.dir, '../..')

export interface ConsoleOptions extends Pick<BrowserContextOptions, 'colorScheme' | 'reducedMotion'> {
  readonly width?: number
  readonly height?: number
  /** Kept in the tab's storage before the page loads, as if a person had logged in. */
  readonly token?: string
  /** Errors that the page may have on its console: a browser reports each response from 400 on there. */
  readonly expected?: readonly RegExp[]
  /** The page's clock stands still at this time until the test moves it on with `page.clock.runFor`. */
  readonly stoppedAtMs?: number
  /** A touch screen. */
  readonly hasTouch?: boolean
  /** Nothing is loaded yet, and `page.clock` may be used. */
  readonly hasOwnContext?: boolean
}

export interface ConsoleBrowser {
  /**
   * Opens a path of a server and runs a test on the page. Fails on an error on its console, a violation of its content
   * security policy, or a request to any other server.
   */
  onPage(url: string, run: (page: Page) => Promise<void>, options?: ConsoleOptions): Promise<void>
  /** Two pages and more: closes what it opens when the browser is closed. */
  open(url: string, options?: ConsoleOptions): Promise<OpenedPage>
  close(): Promise<void>
}

interface OpenedPage {
  readonly page: Page
  /** Closes the page; throws if it did what it should not. */
  close(): Promise<void>
}

/** Builds the console if its sources have changed, and starts the browser. For `beforeAll`. */
export async function startConsoleBrowser(): Promise<ConsoleBrowser> {
  const done = Bun.spawnSync(['node', join(root, 'scripts/setup.mjs')], { stderr: 'pipe' })
  if (!done.success) throw new Error(done.stderr.toString())
  const browser = await startBrowser()
  const shared = new Map<boolean, Promise<BrowserContext>>()
  const open = async (url: string, options: ConsoleOptions = {}) => {
    const { hasTouch = false, stoppedAtMs, hasOwnContext = stoppedAtMs !== undefined } = options
    if (hasOwnContext) {
      const context = await browser.newContext({ hasTouch })
      return openPage(context, url, options, () => context.close())
    }
    const context = shared.get(hasTouch) ?? browser.newContext({ hasTouch })
    shared.set(hasTouch, context)
    return openPage(await context, url, options)
  }
  return {
    open,
    async onPage(url, run, options) {
      const { page, close } = await open(url, options)
      await run(page)
      await close()
    },
    close: () => browser.close(),
  }
}

async function openPage(
  context: BrowserContext,
  url: string,
  options: ConsoleOptions,
  closeContext?: () => Promise<void>,
): Promise<OpenedPage> {
  const { width = 1280, height = 800, token, expected = [], stoppedAtMs } = options
  const page = await context.newPage()
  await page.setViewportSize({ width, height })
  const { colorScheme = 'light', reducedMotion = 'no-preference' } = options
  await page.emulateMedia({ colorScheme, reducedMotion })
  if (token !== undefined) {
    await page.addInitScript(`sessionStorage.setItem('kvist-token', ${JSON.stringify(token)})`)
  }
  page.setDefaultTimeout(patienceMs)
  const misdeeds = misdeedsOf(page, new URL(url).origin)
  if (stoppedAtMs !== undefined) {
    await page.clock.install({ time: stoppedAtMs - 60_000 })
    await page.clock.pauseAt(stoppedAtMs)
  }
  await page.goto(url)
  return {
    page,
    async close() {
      await page.close()
      await closeContext?.()
      expect(misdeeds.filter((found) => !expected.some((pattern) => pattern.test(found)))).toEqual([])
    },
  }
}

/** Resolves when an element that matches has been on the page, be it only for a moment: a poll could miss it. */
export function appears(page: Page, selector: string): Promise<unknown> {
  return page.evaluate(`new Promise((resolve) => {
    const isThere = () => document.querySelector(${JSON.stringify(selector)}) !== null
    if (isThere()) return resolve(true)
    const observer = new MutationObserver(() => isThere() && (observer.disconnect(), resolve(true)))
    observer.observe(document, { attributes: true, childList: true, subtree: true })
  })`)
}

/** Presses the keys of a sequence without waiting in between: the console takes them for one only within 1.2 s. */
export async function pressSequence(page: Page, keys: readonly string[]): Promise<void> {
  await Promise.all(keys.map((key) => page.keyboard.press(key)))
}

interface HeldSave {
  /** Resolves when the page has sent it. */
  readonly begun: Promise<void>
  /** Lets it go on to the server. */
  release(): void
}

/** Holds the next PUT of a page, so that a test can do something while a save is under way. */
export async function holdSave(page: Page): Promise<HeldSave> {
  const begun = Promise.withResolvers<void>()
  const released = Promise.withResolvers<void>()
  await page.route('**/v1/**', async (route) => {
    if (route.request().method() === 'PUT') {
      begun.resolve()
      await released.promise
    }
    await route.fallback()
  })
  return { begun: begun.promise, release: () => released.resolve() }
}

/** Writes what the page looks like to the folder in KVIST_SCREENSHOTS; does nothing without it. */
export async function screenshot(page: Page, name: string): Promise<void> {
  const folder = process.env.KVIST_SCREENSHOTS
  if (folder === undefined) return
  mkdirSync(folder, { recursive: true })
  await page.screenshot({ path: join(folder, `${name}.png`) })
}

interface AxeResults {
  readonly violations: readonly {
    readonly id: string
    readonly help: string
    readonly nodes: readonly { readonly html: string; readonly failureSummary?: string }[]
  }[]
}

/** Requires that axe-core finds nothing on the page as it is now: WCAG 2.2 AA and best practices. */
export function expectAccessible(page: Page): Promise<void> {
  return expectNoViolations(page, {})
}

/** The same in light and in dark; what does not depend on colours is checked once. */
export async function expectAccessibleInBothThemes(page: Page): Promise<void> {
  await expectNoViolations(page, {})
  await page.emulateMedia({ colorScheme: 'dark' })
  await expectNoViolations(page, { runOnly: ['color-contrast', 'link-in-text-block'] })
  await page.emulateMedia({ colorScheme: 'light' })
}

/** Waits for what moves or fades: half way through it, colours have too little contrast. */
const stillness = `Promise.allSettled(
  document.getAnimations()
    .filter((one) => Number.isFinite(one.effect?.getComputedTiming().endTime ?? Infinity))
    .map((one) => one.finished))`

/** The minified one: each page compiles it anew, for which the other takes twice as long. */
const axe = readFileSync(join(root, 'node_modules/axe-core/axe.min.js'), 'utf8')

async function expectNoViolations(page: Page, options: RunOptions): Promise<void> {
  if (!(await page.evaluate<boolean>('"axe" in window'))) await page.evaluate(`${axe}; 0`)
  const all = JSON.stringify({ resultTypes: ['violations'], ...options })
  const run = `${stillness}.then(() => axe.run(document, ${all}))`
  const { violations } = await page.evaluate<AxeResults>(run)
  const found = violations.flatMap(({ id, help, nodes }) =>
    nodes.map(({ html, failureSummary }) => `${id}: ${help}\n${html}\n${failureSummary ?? ''}`),
  )
  expect(found).toEqual([])
}
