import { expect } from 'bun:test'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import {
  type ConsoleBrowser,
  expectAccessible,
  holdSave,
  screenshot,
  startConsoleBrowser,
} from './support/console.ts'
import { type ServerInProcess, serveInProcess } from './support/in-process-server.ts'
import { needing } from './support/needs.ts'
import { put } from './support/responses.ts'
import { newFolder, startServer } from './support/server.ts'
import { eventually } from './support/until.ts'

/** The open member of the console, in a browser. */

const { test, beforeAll, afterAll } = needing('chromium')

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

/** Chromium reports each response from 400 on. */
const refusals = [/status of (?:404|412|501)/]

/** Opens the member of a key in the page that the tests share. */
async function onMember(
  key: string,
  run: (page: Page) => Promise<void>,
  { collection, width = 1280 }: { collection?: string; width?: number } = {},
): Promise<void> {
  await shared.page.setViewportSize({ width, height: 800 })
  await shared.page.goto(pageOf(key, collection))
  await run(shared.page)
}

function at(key: string, collection = 'users'): string {
  return `${server.url}/v1/${collection}/${encodeURIComponent(key)}`
}

function pageOf(key: string, collection = 'users'): string {
  return `${server.url}/console/c/${collection}/m/${encodeURIComponent(key)}`
}

function store(
  key: string,
  value: string | Uint8Array<ArrayBuffer>,
  type = 'application/json',
): Promise<Response> {
  return put(at(key), value, { 'content-type': type })
}

async function textAt(key: string): Promise<string> {
  return (await fetch(at(key))).text()
}

function editorOf(page: Page, key: string) {
  return page.getByRole('textbox', { name: `Value of ${key}` })
}

const ann = `{
  "name": "Ann",
  "visits": 3,
  "city": "Umeå",
  "active": true,
  "tags": ["north", "early"]
}`

test('a member is shown with what is known of it, and saved as it was typed', async () => {
  await store('ann', ann)
  for (const colorScheme of ['light', 'dark'] as const) {
    await browser.onPage(
      pageOf('ann'),
      async (page) => {
        await editorOf(page, 'ann').waitFor()
        await page.getByText('Live', { exact: true }).waitFor()
        await screenshot(page, `member-${colorScheme}`)
        await expectAccessible(page)
      },
      { colorScheme, expected: refusals },
    )
  }
})

test('numbers, names that occur twice and layout survive a save, byte for byte', async () => {
  const exact = '{"n": 1.000000000000000000001e400, "n" :-0,\r\n\t"é": "\\u0041\\/"}'
  await store('exact', exact)
  await browser.onPage(pageOf('exact'), async (page) => {
    const editor = editorOf(page, 'exact')
    await editor.click()
    await page.keyboard.press('Control+End')
    await page.keyboard.press('ArrowLeft')
    await page.keyboard.type(', "z": 12345678901234567890')
    await page.keyboard.press('Control+s')
    await page.getByText('Saved', { exact: true }).waitFor()
    expect(await textAt('exact')).toBe(exact.replace(/\}$/, ', "z": 12345678901234567890}'))
    await page.getByRole('button', { name: 'Format' }).click()
    await page.getByRole('button', { name: 'Save', exact: true }).click()
    await page.getByRole('button', { name: 'Save', exact: true, disabled: true }).waitFor()
    expect(await textAt('exact')).toBe(
      '{\n  "n": 1.000000000000000000001e400,\n  "n": -0,\n  "é": "\\u0041\\/",\n  "z": 12345678901234567890\n}',
    )
  })
})

test('faults are named as they are typed, and what is not JSON cannot be saved', async () => {
  await store('typed', '{"a": 1}')
  await onMember('typed', async (page) => {
    await editorOf(page, 'typed').click()
    await page.keyboard.press('Control+a')
    await page.keyboard.insertText('{\n  "a": 1\n  "b": [1, 2],\n}')
    await page.getByText('Line 3, column 3: A comma or } is missing here').waitFor()
    expect(await page.getByRole('button', { name: 'Save', exact: true }).isDisabled()).toBe(true)
    await page.locator('.cm-lintRange-error').waitFor()
    await screenshot(page, 'faults')
    await expectAccessible(page)
    await page.getByRole('button', { name: 'Show', exact: true }).click()
    await page.keyboard.type(', ')
    await page.getByText('Line 4, column 1: There is a comma too many before this').waitFor()
    await page.getByRole('button', { name: 'Revert' }).click()
    await editorOf(page, 'typed').getByText('{"a": 1}').waitFor()
    expect(await textAt('typed')).toBe('{"a": 1}')
  })
})

test('a schema that refuses a value is shown where the value breaks it', async () => {
  const schema = { properties: { visits: { type: 'integer' } } }
  await fetch(`${server.url}/v1/_collections/checked`, { method: 'PUT', body: JSON.stringify({ schema }) })
  await put(at('a', 'checked'), '{"visits": 1}')
  await onMember(
    'a',
    async (page) => {
      await editorOf(page, 'a').click()
      await page.keyboard.press('Control+End')
      await page.keyboard.press('ArrowLeft')
      await page.keyboard.type('.5')
      await page.keyboard.press('Control+s')
      await page.locator('.violation', { hasText: '/visits' }).waitFor()
      await page.locator('.cm-lintRange-error', { hasText: '1.5' }).waitFor()
    },
    { collection: 'checked' },
  )
})

test('a script in a member is a text', async () => {
  const script = '<script>document.title = "owned"</script><img src=x onerror="document.title = \'owned\'">'
  await store(script, JSON.stringify(script))
  await store('page', script, 'text/html')
  for (const [key, shown] of [
    [script, JSON.stringify(script)],
    ['page', script],
  ] as const) {
    await onMember(key, async (page) => {
      await editorOf(page, key).waitFor()
      expect(await editorOf(page, key).textContent()).toBe(shown)
      expect(await page.title()).not.toBe('owned')
    })
  }
  const { headers } = await fetch(at('page'))
  expect(headers.get('content-security-policy')).toBe("sandbox; default-src 'none'")
})

test('texts, bytes and images are shown as what they are', async () => {
  await store('notes.md', '# North\r\n\r\nTo remember.\r\n', 'text/markdown; charset=utf-8')
  await store(
    'drawing.svg',
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9" width="90"><script>document.title="owned"</script><circle cx="4" cy="4" r="4" fill="teal"/></svg>',
    'image/svg+xml',
  )
  const bytes = new Uint8Array(16 * 1024 * 1024)
  bytes.forEach((_, index) => {
    bytes[index] = index % 251
  })
  await store('blob', bytes, 'application/octet-stream')
  await onMember('notes.md', async (page) => {
    const editor = editorOf(page, 'notes.md')
    await editor.click()
    await page.keyboard.press('Control+End')
    await page.keyboard.type('More.')
    await page.getByLabel('Content type').selectOption({ label: 'Text' })
    await page.keyboard.press('Control+s')
    await page.getByText('Saved', { exact: true }).waitFor()
    const stored = await fetch(at('notes.md'))
    expect(stored.headers.get('content-type')).toBe('text/plain; charset=utf-8')
    expect(await stored.text()).toBe('# North\r\n\r\nTo remember.\r\nMore.')

    await page.goto(pageOf('drawing.svg'))
    await page.getByRole('img', { name: 'drawing.svg' }).waitFor()
    await page.getByText('90 × 90 pixels').waitFor()
    expect(await page.title()).not.toBe('owned')
    await screenshot(page, 'image')
    await expectAccessible(page)
    await page.getByRole('button', { name: 'Text', exact: true }).click()
    await editorOf(page, 'drawing.svg').getByText('<circle').waitFor()

    await page.goto(pageOf('blob'))
    await page.getByText('It is 16.8 MB, so it is not loaded until you ask.').waitFor()
    await screenshot(page, 'large')
    await page.getByRole('button', { name: 'Load it' }).click()
    const hex = page.getByRole('region', { name: 'Value of blob, 16,777,216 bytes in hexadecimal' })
    await hex.getByText('0000010').waitFor()
    await hex.getByText('10 11 12 13 14 15 16 17  18 19 1a 1b 1c 1d 1e 1f').waitFor()
    await expectAccessible(page)
    await screenshot(page, 'hex')
    await hex.focus()
    await page.keyboard.press('End')
    await hex.getByText('0fffff0').waitFor()
    expect(await hex.locator('.row').count()).toBeLessThan(100)
  })
})

/** Types at the end of the first line of a member's JSON. */
async function typeInto(page: Page, key: string, text: string): Promise<void> {
  await editorOf(page, key).click()
  await page.keyboard.press('Control+Home')
  await page.keyboard.press('End')
  await page.keyboard.insertText(text)
}

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
      await expectAccessible(page)
      if (choice === 'mine') await page.getByRole('button', { name: 'Save yours' }).click()
      else {
        await page.getByRole('button', { name: 'Take this difference' }).last().click()
        await page.getByRole('button', { name: 'Save the merged one' }).click()
      }
      await page.getByText('Saved', { exact: true }).waitFor()
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
    await page.getByRole('button', { name: 'Save', exact: true, disabled: false }).waitFor()
    expect(await editorOf(page, 'typed-on').textContent()).toBe('{"a": 1}  ')
    expect(await textAt('typed-on')).toBe('{"a": 1} ')

    // Taken back to what was there before the save, it is a change all the same.
    const second = await holdSave(page)
    await page.keyboard.press('Control+s')
    await second.begun
    await page.keyboard.press('Backspace')
    second.release()
    await page.getByRole('button', { name: 'Save', exact: true, disabled: false }).waitFor()
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
    expect(await textAt('live')).toBe(ann)
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
    expect(await textAt('fleeting')).toBe('{"a": 1}')
    await page.keyboard.press('h')
    await page.getByRole('table').getByText('Deleted').waitFor()
    await page.keyboard.press('Escape')
    await editorOf(page, 'fleeting').click()
    await page.keyboard.press('Control+Home')
    await page.keyboard.insertText(' ')
    await fetch(at('fleeting'), { method: 'DELETE' })
    await page.getByText('Someone deleted it while you were editing. Your text is still here.').waitFor()
    await page.getByRole('button', { name: 'Save it as a new member' }).click()
    await page.getByText('Saved', { exact: true }).waitFor()
    expect(await textAt('fleeting')).toBe(' {"a": 1}')
  })
})

test('what expires counts down, and can be brought back', async () => {
  let nowMs = Date.now()
  const own = await serveInProcess({ now: () => nowMs })
  try {
    await put(`${own.url}/v1/leases/mailer?expire_in=50s`, '"worker-7"')
    await browser.onPage(
      `${own.url}/console/c/leases/m/mailer`,
      async (page) => {
        await page.clock.install({ time: nowMs })
        await page.reload()
        await page.getByText(/^in (?:50|49) s$/).waitFor()
        await page.clock.runFor(10_000)
        await page.getByText(/^in (?:40|39) s$/).waitFor()
        await screenshot(page, 'expires')
        await expectAccessible(page)
        nowMs += 51_000
        await page.clock.runFor(42_000)
        await page.getByText('It expired. This is what it was.').waitFor()
        await page.getByRole('button', { name: 'Bring it back' }).click()
        await page.getByText('It expired').waitFor({ state: 'detached' })
        await page.getByRole('button', { name: 'Expires…' }).click()
        await page.getByRole('button', { name: '1 day' }).click()
        await screenshot(page, 'expiry-dialog')
        await expectAccessible(page)
        await page.getByRole('button', { name: 'Change it' }).click()
        await page.getByRole('dialog').waitFor({ state: 'detached' })
        const before = (await fetch(`${own.url}/v1/leases/mailer`)).headers.get('kvist-expires-at')
        expect(before).not.toBeNull()
        // A save keeps it.
        await typeInto(page, 'mailer', ' ')
        await page.getByRole('button', { name: 'Save', exact: true }).click()
        await page.getByText('Saved', { exact: true }).waitFor()
        const after = await fetch(`${own.url}/v1/leases/mailer`)
        expect([await after.text(), after.headers.get('kvist-expires-at')]).toEqual(['"worker-7" ', before])
      },
      { expected: refusals, hasOwnContext: true },
    )
  } finally {
    await own.stop()
  }
})

test('an unsaved text is not left by accident', async () => {
  await store('q1', '{"a": 1}')
  await store('q2', '{"a": 2}')
  await browser.onPage(
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
      await page.keyboard.press(']')
      await dialog.getByRole('button', { name: 'Save and leave' }).click()
      await editorOf(page, 'q2').waitFor()
      expect(await textAt('q1')).toBe('{"a": 1} ')
      await page.keyboard.press(']')
      await page.getByText('That was the last one').waitFor()
      await page.keyboard.press('[')
      await editorOf(page, 'q1').waitFor()
      await typeInto(page, 'q1', ' ')
      await page.goBack()
      await dialog.getByRole('button', { name: 'Discard it' }).click()
      await editorOf(page, 'q2').waitFor()
      expect(await textAt('q1')).toBe('{"a": 1} ')
    },
    { expected: refusals },
  )
})

test('by keys alone a member is made, edited, saved, deleted and left', async () => {
  await onMember('by-keys', async (page) => {
    await page.getByText('There is no member with this key.').waitFor()
    await editorOf(page, 'by-keys').waitFor()
    await expectAccessible(page)
    await page.keyboard.press('e')
    await page.keyboard.type('[1]')
    await page.keyboard.press('Control+s')
    await page.getByText('Saved', { exact: true }).waitFor()
    expect(await textAt('by-keys')).toBe('[1]')
    await page.keyboard.press('Escape')
    await page.keyboard.press('?')
    await page.getByText('Show its history').waitFor()
    await screenshot(page, 'member-keys')
    await page.keyboard.press('Escape')
    await page.keyboard.press('d')
    await page.getByRole('dialog', { name: 'Delete this member?' }).waitFor()
    await page.keyboard.press('Enter')
    await page.getByText('You deleted it.').waitFor()
    expect((await fetch(at('by-keys'))).status).toBe(404)
    await page.keyboard.press('Escape')
    await page.waitForURL('**/console/c/users')
  })
})

test('renamed, duplicated, downloaded, and replaced with a file', async () => {
  const flagged = { key: 'old/name', value: 1, flags: 7 }
  await fetch(`${server.url}/v1/users`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson' },
    body: JSON.stringify(flagged).replace('1', '{"n": 1.0}'),
  })
  await store('ann', ann)
  await onMember('old/name', async (page) => {
    const choose = async (item: string) => {
      await page.getByRole('button', { name: 'More actions' }).click()
      await page.getByRole('menuitem', { name: item }).click()
    }
    await editorOf(page, 'old/name').waitFor()
    await choose('Rename…')
    await page.getByLabel('New key').fill('new name')
    const requests: string[] = []
    page.on('request', (request) => {
      if (request.method() !== 'GET') requests.push(request.url())
    })
    await page.keyboard.press('Enter')
    await editorOf(page, 'new name').waitFor()
    expect(requests).toEqual([`${server.url}/v1/_batch`])
    const moved = await fetch(at('new name'))
    expect([moved.headers.get('content-type'), await moved.text()]).toEqual([
      'application/json',
      '{"n": 1.0}',
    ])
    expect((await fetch(at('old/name'))).status).toBe(404)

    // As a cluster that keeps the two keys apart responds.
    await page.route('**/v1/_batch', (route) =>
      route.request().postData()!.includes('"delete"')
        ? route.fulfill({ status: 422, json: { code: 'unprocessable', together: [] } })
        : route.continue(),
    )
    await choose('Rename…')
    await page.getByLabel('New key').fill('apart')
    await page.keyboard.press('Enter')
    await editorOf(page, 'apart').waitFor()
    await page.getByText('new name is now apart').waitFor()
    expect([(await fetch(at('new name'))).status, await textAt('apart')]).toEqual([404, '{"n": 1.0}'])
    await page.unroute('**/v1/_batch')
    await choose('Duplicate…')
    await page.getByLabel('Key of the copy').fill('ann')
    await page.keyboard.press('Enter')
    await page.getByRole('alert').waitFor()
    expect(await textAt('ann')).toBe(ann)
    await page.getByLabel('Key of the copy').fill('copy')
    await page.keyboard.press('Enter')
    await editorOf(page, 'copy').waitFor()
    const copied = await fetch(`${server.url}/v1/users?prefix=copy&include=all`)
    expect(await copied.json()).toMatchObject({ members: [{ key: 'copy', flags: 7 }] })

    const [download] = await Promise.all([page.waitForEvent('download'), choose('Download')])
    expect(download.suggestedFilename()).toBe('copy.json')
    expect(await Bun.file(await download.path()).text()).toBe('{"n": 1.0}')
    const [chooser] = await Promise.all([page.waitForEvent('filechooser'), choose('Replace with a file…')])
    await chooser.setFiles({
      name: 'x.bin',
      mimeType: 'application/octet-stream',
      buffer: Buffer.from([0, 1, 255]),
    })
    await page.getByText('00 01 ff').waitFor()
    expect(new Uint8Array(await (await fetch(at('copy'))).arrayBuffer())).toEqual(new Uint8Array([0, 1, 255]))
  })
})

test('on a phone, and at 200 %, nothing is wider than the screen, in a conflict neither', async () => {
  await store('phone', ann)
  const screens = [
    { name: 'phone', colorScheme: 'dark', width: 380, height: 760, hasTouch: true },
    { name: 'zoomed', colorScheme: 'light', width: 640, height: 400 },
  ] as const
  for (const { name, ...screen } of screens) {
    await browser.onPage(
      pageOf('phone'),
      async (page) => {
        await editorOf(page, 'phone').waitFor()
        await page.getByText('Live', { exact: true }).waitFor()
        await screenshot(page, `${name}-member`)
        await expectAccessible(page)
        await typeInto(page, 'phone', '\n  "mine": true,')
        await store('phone', ann.replace('3', String(Math.random())))
        await page.getByRole('button', { name: 'Compare' }).click()
        await page.getByRole('button', { name: 'Take this difference' }).first().waitFor()
        await screenshot(page, `${name}-conflict`)
        await expectAccessible(page)
        await page.getByRole('button', { name: 'Take this difference' }).last().click()
        await page.getByRole('button', { name: 'Save the merged one' }).click()
        await page.getByText('Saved', { exact: true }).waitFor()
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
  const { page, close } = await browser.open(`${first.url}/console/c/users/m/ann`, {
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
      await page.keyboard.press('Control+s')
      await page.getByText('Saved', { exact: true }).waitFor()
      expect(await (await fetch(`${again.url}/v1/users/ann`)).text()).toBe('{"a": 1} ')
    } finally {
      await again.remove()
    }
  } finally {
    await close()
    await first.remove()
  }
})

test('versions from before the page was opened come from the archive', async () => {
  const folder = newFolder()
  const own = await serveInProcess({ flags: ['--archive', join(folder, 'archive'), '--archive-every', '1s'] })
  try {
    for (const n of ['1.0', '2.0']) await put(`${own.url}/v1/kept/k`, `{"n": ${n}}`)
    await browser.onPage(`${own.url}/console/c/kept/m/k?panel=history`, async (page) => {
      await page.getByRole('button', { name: 'Restore revision 1' }).click()
      await page.getByText('Revision 1 is back, as a new one').waitFor()
      expect(await (await fetch(`${own.url}/v1/kept/k`)).text()).toBe('{"n": 1.0}')
    })
  } finally {
    await own.stop()
    rmSync(folder, { recursive: true })
  }
})

test('with a token a document opens in a tab of its own by a ticket, sandboxed, and a megabyte is edited', async () => {
  const token = 'a-token-of-more-than-enough-characters'
  const own = await serveInProcess({ env: { KVIST_TOKEN: token } })
  const url = `${own.url}/v1/docs/page`
  const large = `<p>${'xxxx '.repeat(340_000)}</p>\n<script>document.title = "owned"</script>`
  try {
    await put(url, large, { authorization: `Bearer ${token}`, 'content-type': 'text/html' })
    await browser.onPage(
      `${own.url}/console/c/docs/m/page`,
      async (page) => {
        await page.getByRole('button', { name: 'More actions' }).click()
        const [tab] = await Promise.all([
          page.context().waitForEvent('page'),
          page.getByRole('menuitem', { name: 'Open in new tab' }).click(),
        ])
        await tab.getByText('xxxx').waitFor()
        expect([await tab.title(), await tab.evaluate('origin')]).toEqual(['', 'null'])
        await tab.close()
        await page.getByRole('button', { name: 'Load it' }).click()
        await editorOf(page, 'page').click()
        await page.keyboard.press('Control+End')
        await page.keyboard.type('!')
        await page.keyboard.press('Control+s')
        await page.getByText('Saved', { exact: true }).waitFor()
        const stored = await fetch(url, { headers: { authorization: `Bearer ${token}` } })
        expect(await stored.text()).toBe(`${large}!`)
        await page.getByRole('button', { name: 'Copy', exact: true }).click()
        await page.getByRole('menuitem', { name: 'Copy as code…' }).click()
        await page.getByText('The token is not part of it').waitFor()
        await screenshot(page, 'copy-as')
        await expectAccessible(page)
      },
      { expected: refusals, token },
    )
  } finally {
    await own.stop()
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
    await browser.onPage(
      `${own.url}/console/c/users/m/ann`,
      async (page) => {
        await typeInto(page, 'ann', ' ')
        await fetch(`${own.url}/v1/_tokens/${id}`, { method: 'DELETE', headers: asAdmin })
        await page.keyboard.press('Control+s')
        await page.getByLabel('Token', { exact: true }).fill(token)
        await page.keyboard.press('Enter')
        await editorOf(page, 'ann').waitFor()
        expect(await editorOf(page, 'ann').textContent()).toBe('{"a": 1} ')
        await page.getByRole('button', { name: 'Save', exact: true }).click()
        await page.getByText('Saved', { exact: true }).waitFor()
      },
      { expected: [...refusals, /status of 40[13]/, /ERR_/], token: short },
    )
  } finally {
    await own.stop()
  }
})
