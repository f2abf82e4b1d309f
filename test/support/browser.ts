import { type Browser, chromium, type Page } from 'playwright-core'
import { chromiumPath } from './needs.ts'

/** Debian's Chromium without windows, which scripts/test.mjs sees to. */
export function startBrowser(flags: readonly string[] = []): Promise<Browser> {
  return launch(chromiumPath(), flags)
}

/** For pages that are led to another site: in the shell without windows such a page may not close. */
export function startWholeBrowser(flags: readonly string[]): Promise<Browser> {
  return launch(Bun.which('chromium'), flags)
}

function launch(executablePath: string | null, flags: readonly string[]): Promise<Browser> {
  if (executablePath === null) throw new Error('the tests need chromium')
  // As root, which containers and build machines run tests as, Chromium's own sandbox does not start.
  return chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage', ...flags] })
}

/** What a page has done that it should not: requests to anywhere else than its server, and errors on its console. */
export function misdeedsOf(page: Page, serverUrl: string): string[] {
  const found: string[] = []
  page.on('request', (request) => {
    const url = request.url()
    const isOwn = url.startsWith(`${serverUrl}/`) || url.startsWith(`blob:${serverUrl}/`)
    if (!isOwn && !url.startsWith('data:')) found.push(`asked ${url}`)
  })
  page.on('console', (message) => {
    if (message.type() === 'error') found.push(message.text())
  })
  page.on('pageerror', (error) => found.push(error.message))
  return found
}
