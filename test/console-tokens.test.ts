import { expect } from 'bun:test'
import type { Page } from 'playwright-core'
import { Kvist } from '../sdk/client.ts'
import {
  type ConsoleBrowser,
  expectAccessible,
  pressSequence,
  screenshot,
  startConsoleBrowser,
} from './support/console.ts'
import { type ServerInProcess, serveInProcess } from './support/in-process-server.ts'
import { needing } from './support/needs.ts'
import { put } from './support/responses.ts'
import { runToEnd } from './support/spawn.ts'

/** Who a person is to the console: logging in and out, and tokens, in a browser. */

const { test, beforeAll, afterAll } = needing('chromium')

const rootToken = 'root-of-the-test'
/** A name that would be markup where it is not escaped, and that goes from right to left in its end. */
const oddName = `<img src=x onerror=alert(1)> ' " \u202e && $(x)`
const shownOdd = oddName.replace('\u202e', '⟨202E⟩')

let browser: ConsoleBrowser
let server: ServerInProcess
let root: Kvist

beforeAll(async () => {
  ;[browser, server] = await Promise.all([
    startConsoleBrowser(),
    serveInProcess({ env: { KVIST_TOKEN: rootToken } }),
  ])
  root = new Kvist(server.url, { token: rootToken })
  await root.collection('users').put('ada', { name: 'Ada' })
})

afterAll(async () => {
  await browser?.close()
  await server?.stop()
})

function isWithinWidth(page: Page): Promise<boolean> {
  return page.evaluate<boolean>('document.documentElement.scrollWidth <= innerWidth')
}

test('a person logs in where they wanted to go, sees who they are, and logs out', async () => {
  await browser.onPage(
    `${server.url}/console/tokens`,
    async (page) => {
      await page.getByRole('heading', { name: 'This server asks for a token' }).waitFor()
      await screenshot(page, 'login')
      const token = page.getByLabel('Token')
      await token.fill('wrong')
      await page.keyboard.press('Enter')
      await page.getByText('This token is not valid. It may have expired or been revoked.').waitFor()
      await expectAccessible(page)
      await screenshot(page, 'login-wrong')
      await token.fill('tökén')
      await page.keyboard.press('Enter')
      await page.getByText('That is not a token').waitFor()
      expect(await page.evaluate<number>('sessionStorage.length')).toBe(0)
      await token.fill(`Authorization: Bearer ${rootToken} `)
      await page.keyboard.press('Enter')
      await page.getByRole('heading', { name: 'There are no tokens yet' }).waitFor()
      await page.reload()
      await page.getByRole('heading', { name: 'There are no tokens yet' }).waitFor()
      await page.getByRole('button', { name: 'Who you are: root' }).click()
      await page.getByText('Create and revoke tokens').waitFor()
      await screenshot(page, 'whoami')
      await page.getByRole('button', { name: 'Log out' }).click()
      await page.getByRole('heading', { name: 'This server asks for a token' }).waitFor()
      expect(await page.evaluate<number>('sessionStorage.length')).toBe(0)
    },
    { expected: [/status of 401/] },
  )
})

test('a token that is revoked while its page is open ends the session, and another one goes on there', async () => {
  const { id, token } = await root.tokens.create({
    name: oddName,
    grants: [{ collections: '*', can: ['read'] }],
  })
  await browser.onPage(
    `${server.url}/console/c/users`,
    async (page) => {
      await page.getByText('Live', { exact: true }).waitFor()
      await page.getByText(shownOdd).waitFor()
      await root.tokens.revoke(id)
      await page.getByRole('heading', { name: 'Your token is not valid any more' }).waitFor()
      await page.getByLabel('Token').fill(rootToken)
      await page.keyboard.press('Enter')
      await page.getByText('Live', { exact: true }).waitFor()
      expect(new URL(page.url()).pathname).toBe('/console/c/users')
    },
    { token, expected: [/status of 401/, /ERR_/] },
  )
})

test('a token is made in a form that says what it will be able to do, used by the line that is shown, and revoked', async () => {
  await browser.onPage(
    `${server.url}/console/tokens`,
    async (page) => {
      await page.getByText('Live', { exact: true }).waitFor()
      await page.keyboard.press('n')
      await page.waitForURL('**/tokens?new=1')
      const rights = page.getByRole('region', { name: 'will be able to' })
      const create = page.getByRole('button', { name: 'Create token' })
      await create.click()
      await page.getByText(/^The name must be/).waitFor()
      await page.getByLabel('Name').fill(oddName)
      await create.click()
      await page.getByText(/^Collections must be/).waitFor()
      await page.getByRole('combobox', { name: 'Collections' }).fill('_tokens')
      await create.click()
      await page.getByRole('alert').getByText('cannot be granted').waitFor()
      await page.getByRole('combobox', { name: 'Collections' }).fill('users')
      await rights.getByText('Read members of users.').waitFor()
      await page.getByRole('checkbox', { name: 'Write' }).check()
      await page.getByLabel('Only keys that begin with').fill('a')
      await rights.getByText('Read and write members of users whose keys begin with a.').waitFor()
      await page.getByLabel('Valid for').selectOption('Another time…')
      await page.getByLabel('Time', { exact: true }).fill('soon')
      await create.click()
      await page.getByText(/^The time must be/).waitFor()
      await page.getByLabel('Time', { exact: true }).fill('36h')
      await rights.getByText('It is valid for 36h.').waitFor()
      await page.getByRole('button', { name: 'Another grant' }).click()
      await page.getByRole('combobox', { name: 'Collections' }).nth(1).fill('*')
      await rights.getByText('See the numbers of the server').waitFor()
      await screenshot(page, 'token-form')
      await expectAccessible(page)
      await page.getByRole('button', { name: 'Take grant 2 away' }).click()
      await create.click()

      await page.getByRole('heading', { name: 'Copy the token of' }).waitFor()
      await expectAccessible(page)
      await screenshot(page, 'token-created')
      const [secret, line] = await page.locator('pre').allTextContents()
      const { stdout } = await runToEnd(['sh', '-c', `${line} -s`])
      expect(JSON.parse(stdout).members).toMatchObject([{ key: 'ada' }])
      await page.getByRole('button', { name: 'I have stored it' }).click()
      await page.getByRole('heading', { name: 'Copy the token of' }).waitFor({ state: 'detached' })
      expect(await page.content()).not.toContain(secret!.slice(-20))

      await page.getByRole('link', { name: shownOdd }).click()
      await page
        .getByRole('dialog', { name: shownOdd })
        .getByText('Read and write members of users')
        .waitFor()
      await expectAccessible(page)
      await screenshot(page, 'token-details')
      await page.getByRole('button', { name: 'Revoke…' }).click()
      await page.getByLabel(`Type “${shownOdd}” to confirm`).fill(oddName)
      await page.getByRole('button', { name: 'Revoke it' }).click()
      await page.getByRole('heading', { name: 'There are no tokens yet' }).waitFor()
      const after = await fetch(`${server.url}/v1/_whoami`, {
        headers: { authorization: `Bearer ${secret}` },
      })
      expect(after.status).toBe(401)
    },
    { token: rootToken, expected: [/status of 400/] },
  )
})

test('a token for a part of the store works everywhere, and says who could grant more', async () => {
  const { token } = await root.tokens.create({
    name: 'narrow',
    grants: [{ collections: 'users', key_prefix: 'a', can: ['read'] }],
  })
  await browser.onPage(
    `${server.url}/console/`,
    async (page) => {
      await page.getByText('Live', { exact: true }).waitFor()
      await page
        .getByRole('link', { name: /^users/ })
        .first()
        .waitFor()
      await pressSequence(page, ['g', 't'])
      await page.getByRole('heading', { name: 'This token does not manage tokens' }).waitFor()
      await page.getByText('Read members of users whose keys begin with a.').waitFor()
      await expectAccessible(page)
      await screenshot(page, 'tokens-narrow')
      await pressSequence(page, ['g', 'o'])
      await page.getByRole('heading', { name: 'This token does not show the numbers' }).waitFor()
    },
    { token },
  )
})

test('on a phone tokens are listed, opened by arrows and Enter, and made', async () => {
  for (const [i, grants] of manyGrants.entries()) {
    await root.tokens.create({
      name: `service ${i}`,
      grants,
      expires_in: i % 2 === 0 ? 'never' : `${i * 3}d`,
    })
  }
  await browser.onPage(
    `${server.url}/console/tokens`,
    async (page) => {
      await page.getByRole('link', { name: /^service 3/ }).focus()
      await page.keyboard.press('ArrowDown')
      await page.keyboard.press('Enter')
      await page.getByRole('dialog', { name: 'service 2' }).waitFor()
      await page.keyboard.press('Escape')
      await page.getByRole('dialog').waitFor({ state: 'detached' })
      expect(await isWithinWidth(page)).toBe(true)
      await expectAccessible(page)
      await screenshot(page, 'tokens-phone')
      await page.getByRole('button', { name: 'New token' }).click()
      await page.getByLabel('Name').fill('phone')
      expect(await isWithinWidth(page)).toBe(true)
      await expectAccessible(page)
      await screenshot(page, 'token-form-phone')
      await page.goBack()
      await page.setViewportSize({ width: 1280, height: 800 })
      await page.getByRole('link', { name: /^service 3/ }).waitFor()
      await screenshot(page, 'tokens-dark')
    },
    { token: rootToken, width: 380, height: 760, hasTouch: true, colorScheme: 'dark' },
  )
})

const manyGrants = [
  [{ collections: '*', can: ['read'] }],
  [{ collections: 'users', can: ['read', 'write'] }],
  [
    { collections: 'lo*', key_prefix: 't1/', can: ['write'] },
    { collections: 'users', can: ['admin'] },
  ],
  [{ collections: '*', can: ['read', 'write', 'admin', 'replicate'] }],
] as const

test('a server without a token needs no login', async () => {
  const open = await serveInProcess()
  try {
    await put(`${open.url}/v1/users/ada`, '1')
    await browser.onPage(`${open.url}/console/`, async (page) => {
      await page.getByText('Live', { exact: true }).waitFor()
      await page.getByRole('button', { name: 'Who you are: anyone' }).click()
      await page.getByText('This server asks for no token').waitFor()
      await expectAccessible(page)
    })
  } finally {
    await open.stop()
  }
})
