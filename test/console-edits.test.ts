import { expect } from 'bun:test'
import type { Page } from 'playwright-core'
import { expectAccessible, holdSave, screenshot } from './support/console.ts'
import { editorOf, openMembers, readySave, refusals, save, typeInto } from './support/console-member.ts'
import { serveInProcess } from './support/in-process-server.ts'
import { needing } from './support/needs.ts'
import { put } from './support/responses.ts'
import { startServer } from './support/server.ts'
import { eventually } from './support/until.ts'

/** Changes of the open member of the console, in a browser: of a person, and of others meanwhile. */

const { test, beforeAll, afterAll } = needing('chromium')
const { at, onMember, onPage, openPage, pageOf, store, textAt, untilStored } = openMembers({
  beforeAll,
  afterAll,
})

const ann = `{
  "name": "Ann",
  "visits": 3,
  "city": "Umeå",
  "active": true,
  "tags": ["north", "early"]
}`

test('two pages edit one member: theirs is taken, mine is saved, or both are merged', async () => {
  const lines = (first: string, last: string) =>
    `{\n  "a": ${first},\n  "b": 0,\n  "c": 0,\n  "z": ${last}\n}`
  for (const choice of ['theirs', 'mine', 'merge'] as const) {
    await store('shared', lines('1', '1'))
    const edit = async (page: Page) => {
      await editorOf(page, 'shared').getByText('"z": 1').waitFor()
      await page.getByText('Live', { exact: true }).waitFor()
      await typeInto(page, 'shared', '\n  "mine": true,')
      await store('shared', lines('1', '2'))
      await page.getByText(/^Someone else saved revision \d+ while you were editing\.$/).waitFor()
      expect(await editorOf(page, 'shared').textContent()).toContain('"mine": true')
      if (choice === 'theirs') {
        await screenshot(page, 'incoming')
        await expectAccessible(page)
        await page.getByRole('button', { name: 'Take theirs' }).click()
        await page.locator('.cm-news', { hasText: '"z": 2' }).waitFor()
        expect(await editorOf(page, 'shared').textContent()).not.toContain('mine')
        return
      }
      await page.keyboard.press('Control+s')
      await page.getByRole('heading', { name: /^Someone else saved revision/ }).waitFor()
      await page.getByRole('textbox', { name: 'Theirs' }).waitFor()
      await screenshot(page, `conflict-${choice}`)
      if (choice === 'mine') await expectAccessible(page)
      if (choice === 'mine') await page.getByRole('button', { name: 'Save yours' }).click()
      else {
        await page.getByRole('button', { name: 'Take this difference' }).last().click()
        await page.getByRole('button', { name: 'Save the merged one' }).click()
      }
      await editorOf(page, 'shared').waitFor()
      const merged = lines('1', choice === 'mine' ? '1' : '2').replace('{\n', '{\n  "mine": true,\n')
      expect(await textAt('shared')).toBe(merged)
    }
    // Wide enough for one beside the other.
    await onMember('shared', edit, { width: 1500 })
  }
})

test('what is typed during a save stays, and is not taken for saved; a comparison stays until it is saved', async () => {
  await store('typed-on', '{"a": 1}')
  const edit = async (page: Page) => {
    await typeInto(page, 'typed-on', ' ')
    const first = await holdSave(page)
    await page.keyboard.press('Control+s')
    await first.begun
    await page.keyboard.insertText(' ')
    first.release()
    await readySave(page).waitFor()
    expect(await editorOf(page, 'typed-on').textContent()).toBe('{"a": 1}  ')
    expect(await textAt('typed-on')).toBe('{"a": 1} ')

    // Taken back to what was there before the save, it is a change all the same.
    const second = await holdSave(page)
    await page.keyboard.press('Control+s')
    await second.begun
    await page.keyboard.press('Backspace')
    second.release()
    await readySave(page).waitFor()
    expect(await editorOf(page, 'typed-on').textContent()).toBe('{"a": 1} ')
    expect(await textAt('typed-on')).toBe('{"a": 1}  ')

    await store('typed-on', '{"a": 2}')
    await page.getByRole('button', { name: 'Compare' }).click()
    const yours = page.getByRole('textbox', { name: 'Yours, to be saved' })
    const third = await holdSave(page)
    await page.getByRole('button', { name: 'Save yours' }).click()
    await third.begun
    await yours.click()
    await page.keyboard.press('Control+End')
    await page.keyboard.insertText(' ')
    expect(await textAt('typed-on')).toBe('{"a": 2}')
    third.release()
    await editorOf(page, 'typed-on').waitFor()
    await eventually(async () => expect(await editorOf(page, 'typed-on').textContent()).toBe('{"a": 1}  '))
    expect(await textAt('typed-on')).toBe('{"a": 1} ')
  }
  await onMember('typed-on', edit, { width: 1500 })
})

test('while nothing is edited a change is shown as it comes, and the history has both', async () => {
  await store('live', ann)
  await onMember('live', async (page) => {
    await editorOf(page, 'live').waitFor()
    await page.getByText('Live', { exact: true }).waitFor()
    await store('live', ann.replace('3', '4'))
    await page.locator('.cm-news', { hasText: '"visits": 4' }).waitFor()
    expect(await page.locator('.cm-news').count()).toBe(1)
    await page.keyboard.press('h')
    await page.waitForURL('**panel=history')
    const table = page.getByRole('table')
    await table.getByText('Saved').nth(1).waitFor()
    await page.getByRole('textbox', { name: /^Revision/ }).waitFor()
    expect(await page.locator('.cm-deletedChunk').textContent()).toContain('"visits": 3')
    await screenshot(page, 'history')
    await expectAccessible(page)
    await page.getByRole('button', { name: /^Restore revision/ }).click()
    await page.getByText('is back, as a new one').waitFor()
    await untilStored('live', ann)
    await page.keyboard.press('Escape')
    await editorOf(page, 'live').waitFor()
  })
})

test('deleted under an open editor the text stays, and can be saved as a new member', async () => {
  await store('fleeting', '{"a": 1}')
  await onMember('fleeting', async (page) => {
    await editorOf(page, 'fleeting').waitFor()
    await page.getByText('Live', { exact: true }).waitFor()
    await fetch(at('fleeting'), { method: 'DELETE' })
    await page.getByText('Someone deleted it. This is what it was.').waitFor()
    await page.getByRole('button', { name: 'Bring it back' }).click()
    await page.getByText('Someone deleted it').waitFor({ state: 'detached' })
    await untilStored('fleeting', '{"a": 1}')
    await page.keyboard.press('h')
    await page.getByRole('table').getByText('Deleted').waitFor()
    await page.keyboard.press('Escape')
    await editorOf(page, 'fleeting').click()
    await page.keyboard.press('Control+Home')
    await page.keyboard.insertText(' ')
    await fetch(at('fleeting'), { method: 'DELETE' })
    await page.getByText('Someone deleted it while you were editing. Your text is still here.').waitFor()
    await save(page, () => page.getByRole('button', { name: 'Save it as a new member' }).click())
    await untilStored('fleeting', ' {"a": 1}')
  })
})

test('an unsaved text is not left by accident', async () => {
  await store('q1', '{"a": 1}')
  await store('q2', '{"a": 2}')
  await onPage(
    `${pageOf('q1')}?prefix=q`,
    async (page) => {
      await typeInto(page, 'q1', ' ')
      await page.keyboard.press('Escape')
      await page.keyboard.press(']')
      const dialog = page.getByRole('dialog', { name: 'Leave without saving?' })
      await dialog.waitFor()
      await screenshot(page, 'leave')
      await expectAccessible(page)
      await dialog.getByRole('button', { name: 'Keep editing' }).click()
      await dialog.waitFor({ state: 'detached' })
      await page.keyboard.press(']')
      await dialog.getByRole('button', { name: 'Save and leave' }).click()
      await editorOf(page, 'q2').waitFor()
      await untilStored('q1', '{"a": 1} ')
      await page.keyboard.press(']')
      await page.getByText('That was the last one').waitFor()
      await page.keyboard.press('[')
      await editorOf(page, 'q1').waitFor()
      await typeInto(page, 'q1', ' ')
      await page.goBack()
      await dialog.getByRole('button', { name: 'Discard it' }).click()
      await editorOf(page, 'q2').waitFor()
      await untilStored('q1', '{"a": 1} ')
    },
    { expected: refusals },
  )
})

test('on a phone, and at 200 %, nothing is wider than the screen, in a conflict neither', async () => {
  await store('phone', ann)
  const screens = [
    { name: 'phone', colorScheme: 'dark', width: 380, height: 760, hasTouch: true },
    { name: 'zoomed', colorScheme: 'light', width: 640, height: 400 },
  ] as const
  for (const { name, ...screen } of screens) {
    await onPage(
      pageOf('phone'),
      async (page) => {
        await editorOf(page, 'phone').waitFor()
        await page.getByText('Live', { exact: true }).waitFor()
        await screenshot(page, `${name}-member`)
        if (name === 'phone') await expectAccessible(page)
        await typeInto(page, 'phone', '\n  "mine": true,')
        await store('phone', ann.replace('3', String(Math.random())))
        await page.getByRole('button', { name: 'Compare' }).click()
        await page.getByRole('button', { name: 'Take this difference' }).first().waitFor()
        await screenshot(page, `${name}-conflict`)
        if (name === 'phone') await expectAccessible(page)
        await page.getByRole('button', { name: 'Take this difference' }).last().click()
        await save(page, () => page.getByRole('button', { name: 'Save the merged one' }).click())
        await page.getByRole('button', { name: 'History' }).click()
        await page.getByRole('table').waitFor()
        await screenshot(page, `${name}-history`)
        expect(await page.evaluate<boolean>('document.documentElement.scrollWidth <= innerWidth')).toBe(true)
        await page.getByRole('link', { name: 'Back to users' }).click()
        await page.waitForURL('**/console/c/users')
        await store('phone', ann)
      },
      { expected: refusals, ...screen },
    )
  }
})

test('the server killed and back while a text is written: nothing of it is lost, and it is saved', async () => {
  const first = await startServer()
  await put(`${first.url}/v1/users/ann`, '{"a": 1}')
  const { page, close } = await openPage(`${first.url}/console/c/users/m/ann`, {
    expected: [...refusals, /ERR_|status of 5/],
  })
  try {
    await typeInto(page, 'ann', ' ')
    await page.getByText('Live', { exact: true }).waitFor()
    await first.crash()
    await page.getByText('Reconnecting').waitFor()
    await page.keyboard.press('Control+s')
    await page.getByRole('alert').getByText('The server does not answer').waitFor()
    await expectAccessible(page)
    const again = await startServer({ dataFolder: first.dataFolder, flags: ['--port', String(first.port)] })
    try {
      await page.getByText('Live', { exact: true }).waitFor()
      expect(await editorOf(page, 'ann').textContent()).toBe('{"a": 1} ')
      await save(page)
      expect(await (await fetch(`${again.url}/v1/users/ann`)).text()).toBe('{"a": 1} ')
    } finally {
      await again.remove()
    }
  } finally {
    await close()
    await first.remove()
  }
})

test('a text that was being written when the token was revoked is there after the next log-in', async () => {
  const token = 'a-token-of-more-than-enough-characters'
  const own = await serveInProcess({ env: { KVIST_TOKEN: token } })
  const asAdmin = { authorization: `Bearer ${token}` }
  try {
    await put(`${own.url}/v1/users/ann`, '{"a": 1}', asAdmin)
    const body = JSON.stringify({ name: 'short', grants: [{ collections: '*', can: ['read', 'write'] }] })
    const made = await fetch(`${own.url}/v1/_tokens`, { method: 'POST', body, headers: asAdmin })
    const { id, token: short } = (await made.json()) as { id: string; token: string }
    await onPage(
      `${own.url}/console/c/users/m/ann`,
      async (page) => {
        await typeInto(page, 'ann', ' ')
        await fetch(`${own.url}/v1/_tokens/${id}`, { method: 'DELETE', headers: asAdmin })
        await page.keyboard.press('Control+s')
        await page.getByLabel('Token', { exact: true }).fill(token)
        await page.keyboard.press('Enter')
        await editorOf(page, 'ann').waitFor()
        expect(await editorOf(page, 'ann').textContent()).toBe('{"a": 1} ')
        await save(page, () => page.getByRole('button', { name: 'Save', exact: true }).click())
      },
      { expected: [...refusals, /status of 40[13]/, /ERR_/], token: short },
    )
  } finally {
    await own.stop()
  }
})
