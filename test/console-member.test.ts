import { expect } from 'bun:test'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { expectAccessible, expectAccessibleInBothThemes, screenshot } from './support/console.ts'
import { editorOf, openMembers, refusals, save, typeInto } from './support/console-member.ts'
import { serveInProcess } from './support/in-process-server.ts'
import { needing } from './support/needs.ts'
import { put } from './support/responses.ts'
import { newFolder } from './support/server.ts'

/** The open member of the console, in a browser. */

const { test, beforeAll, afterAll } = needing('chromium')
const { at, onMember, onPage, pageOf, store, textAt, untilStored, url } = openMembers({ beforeAll, afterAll })

const ann = `{
  "name": "Ann",
  "visits": 3,
  "city": "Umeå",
  "active": true,
  "tags": ["north", "early"]
}`

test('a member is shown with what is known of it, and saved as it was typed', async () => {
  await store('ann', ann)
  await onMember('ann', async (page) => {
    await editorOf(page, 'ann').waitFor()
    await page.getByText('Live', { exact: true }).waitFor()
    await screenshot(page, 'member-light')
    await expectAccessibleInBothThemes(page)
  })
})

test('numbers, names that occur twice and layout survive a save, byte for byte', async () => {
  const exact = '{"n": 1.000000000000000000001e400, "n" :-0,\r\n\t"é": "\\u0041\\/"}'
  await store('exact', exact)
  await onPage(pageOf('exact'), async (page) => {
    const editor = editorOf(page, 'exact')
    await editor.click()
    await page.keyboard.press('Control+End')
    await page.keyboard.press('ArrowLeft')
    await page.keyboard.type(', "z": 12345678901234567890')
    await save(page)
    await untilStored('exact', exact.replace(/\}$/, ', "z": 12345678901234567890}'))
    await page.getByRole('button', { name: 'Format' }).click()
    await page.getByRole('button', { name: 'Save', exact: true }).click()
    const laidOut =
      '{\n  "n": 1.000000000000000000001e400,\n  "n": -0,\n  "é": "\\u0041\\/",\n  "z": 12345678901234567890\n}'
    await untilStored('exact', laidOut)
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
    await untilStored('typed', '{"a": 1}')
  })
})

test('a schema that refuses a value is shown where the value breaks it', async () => {
  const schema = { properties: { visits: { type: 'integer' } } }
  await fetch(`${url()}/v1/_collections/checked`, { method: 'PUT', body: JSON.stringify({ schema }) })
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
  bytes.set(Uint8Array.from({ length: 64 }, (_, index) => index))
  await store('blob', bytes, 'application/octet-stream')
  await onMember('notes.md', async (page) => {
    const editor = editorOf(page, 'notes.md')
    await editor.click()
    await page.keyboard.press('Control+End')
    await page.keyboard.type('More.')
    await page.getByLabel('Content type').selectOption({ label: 'Text' })
    await save(page)
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

test('what expires counts down, and can be brought back', async () => {
  let nowMs = Date.now()
  const own = await serveInProcess({ now: () => nowMs })
  try {
    await put(`${own.url}/v1/leases/mailer?expire_in=50s`, '"worker-7"')
    await onPage(
      `${own.url}/console/c/leases/m/mailer`,
      async (page) => {
        await page.getByText('in 50 s', { exact: true }).waitFor()
        await page.clock.runFor(10_000)
        await page.getByText('in 40 s', { exact: true }).waitFor()
        await screenshot(page, 'expires')
        nowMs += 51_000
        await page.clock.runFor(42_000)
        await page.getByText('It expired. This is what it was.').waitFor()
        await page.getByRole('button', { name: 'Bring it back' }).click()
        await page.getByText('It expired').waitFor({ state: 'detached' })
        await page.clock.resume()
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
        await save(page, () => page.getByRole('button', { name: 'Save', exact: true }).click())
        const after = await fetch(`${own.url}/v1/leases/mailer`)
        expect([await after.text(), after.headers.get('kvist-expires-at')]).toEqual(['"worker-7" ', before])
      },
      { expected: refusals, stoppedAtMs: nowMs },
    )
  } finally {
    await own.stop()
  }
})

test('by keys alone a member is made, edited, saved, deleted and left', async () => {
  await onMember('by-keys', async (page) => {
    await page.getByText('There is no member with this key.').waitFor()
    await editorOf(page, 'by-keys').waitFor()
    await expectAccessible(page)
    await page.keyboard.press('e')
    await page.keyboard.type('[1]')
    await save(page)
    await untilStored('by-keys', '[1]')
    await page.keyboard.press('Escape')
    await page.keyboard.press('?')
    await page.getByText('Show its history').waitFor()
    await screenshot(page, 'member-keys')
    await page.keyboard.press('Escape')
    await page.getByRole('dialog').waitFor({ state: 'detached' })
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
  await fetch(`${url()}/v1/users`, {
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
    expect(requests).toEqual([`${url()}/v1/_batch`])
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
    const copied = await fetch(`${url()}/v1/users?prefix=copy&include=all`)
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

test('versions from before the page was opened come from the archive', async () => {
  const folder = newFolder()
  const own = await serveInProcess({ flags: ['--archive', join(folder, 'archive'), '--archive-every', '1s'] })
  try {
    for (const n of ['1.0', '2.0']) await put(`${own.url}/v1/kept/k`, `{"n": ${n}}`)
    await onPage(`${own.url}/console/c/kept/m/k?panel=history`, async (page) => {
      // The message is there for some seconds only.
      const message = page.getByText('Revision 1 is back, as a new one').waitFor()
      await page.getByRole('button', { name: 'Restore revision 1' }).click()
      await message
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
    await onPage(
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
        await save(page)
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
