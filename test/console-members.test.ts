import { expect } from 'bun:test'
import { readFileSync } from 'node:fs'
import type { Locator, Page } from 'playwright-core'
import {
  appears,
  type ConsoleBrowser,
  expectAccessible,
  pressSequence,
  screenshot,
  startConsoleBrowser,
} from './support/console.ts'
import { type ServerInProcess, serveInProcess } from './support/in-process-server.ts'
import { needing } from './support/needs.ts'
import { jsonOf, membersIn, put } from './support/responses.ts'
import { eventually } from './support/until.ts'

/** The console's list of members in a browser. */

const { test, beforeAll, afterAll } = needing('chromium')

let browser: ConsoleBrowser
let server: ServerInProcess

const bigKeys = 100_000
const keyOf = (i: number) => `user-${String(i).padStart(6, '0')}`
const oddKey = '<script>alert(1)</script>'
const folderKeys = ['a/one', 'a/two', 'b/c/three', 'b/four', 'five', oddKey, 'odd/\u202e😀//\nend']

beforeAll(async () => {
  ;[browser, server] = await Promise.all([
    startConsoleBrowser(),
    serveInProcess({ store: ['--engine', 'memory'] }),
  ])
  const lines = Array.from(
    { length: bigKeys },
    (_, i) => `{"key":"${keyOf(i)}","value":{"name":"Person ${i}"}}\n`,
  )
  for (let at = 0; at < bigKeys; at += 25_000) await importLines('big', lines.slice(at, at + 25_000).join(''))
  await importLines(
    'tree',
    folderKeys.map((key) => `${JSON.stringify({ key, value: `<b>${key}</b>` })}\n`).join(''),
  )
})

afterAll(async () => {
  await browser?.close()
  await server?.stop()
})

async function importLines(collection: string, body: string): Promise<void> {
  const headers = { 'content-type': 'application/x-ndjson' }
  await jsonOf(fetch(`${server.url}/v1/${collection}`, { method: 'POST', headers, body }))
}

function fill(collection: string, members: number): Promise<void> {
  const lines = Array.from({ length: members }, (_, i) => `{"key":"${keyOf(i)}","value":${i}}\n`)
  return importLines(collection, lines.join(''))
}

function address(path: string): string {
  return `${server.url}/console/c/${path}`
}

function rowOf(page: Page, key: string): Locator {
  return page
    .getByRole('row')
    .filter({ has: page.getByRole('link', { name: key, exact: true, includeHidden: true }) })
}

function keysOn(page: Page): Promise<string[]> {
  return page.getByRole('row').getByRole('link').allTextContents()
}

function untilKeysAre(page: Page, keys: readonly string[]): Promise<void> {
  return eventually(async () => expect(await keysOn(page)).toEqual([...keys]))
}

const searchField = (page: Page) => page.getByRole('textbox', { name: 'Search in this collection' })
const position = (page: Page) => page.locator('footer .position')

test('a collection of 100,000 keys is scrolled to its middle and its end, and back', async () => {
  await browser.onPage(address('big'), async (page) => {
    await rowOf(page, keyOf(0)).waitFor()
    await page.getByText('of 100,000').waitFor()
    await screenshot(page, 'members')

    const grid = page.getByRole('grid')
    expect(await grid.getAttribute('aria-rowcount')).toBe(String(bigKeys))
    await grid.evaluate((element) => {
      element.scrollTop = (element.scrollHeight - element.clientHeight) / 2
    })
    await page.getByText('≈').waitFor()
    await page.getByRole('row').getByRole('link').nth(20).waitFor()
    const middle = Number((await keysOn(page))[0]!.slice('user-'.length))
    expect(middle / bigKeys).toBeGreaterThan(0.45)
    expect(middle / bigKeys).toBeLessThan(0.55)

    await page.keyboard.press('End')
    await rowOf(page, keyOf(bigKeys - 1)).waitFor()
    await eventually(async () => expect(await position(page).textContent()).toEndWith('–100,000 of 100,000'))
    await page.keyboard.press('Home')
    await rowOf(page, keyOf(0)).waitFor()
    await eventually(async () => expect(await position(page).textContent()).toStartWith('1–'))
  })
})

test('from Z to A the list begins with the last key, and its middle is the same', async () => {
  await browser.onPage(address('big?order=desc'), async (page) => {
    await rowOf(page, keyOf(bigKeys - 1)).waitFor()
    await page.getByText('of 100,000').waitFor()
    await page.getByRole('grid').evaluate((element) => {
      element.scrollTop = (element.scrollHeight - element.clientHeight) / 4
    })
    await page.getByText('≈').waitFor()
    await page.getByRole('row').getByRole('link').nth(20).waitFor()
    const keys = await keysOn(page)
    expect(Number(keys[0]!.slice('user-'.length)) / bigKeys).toBeCloseTo(0.75, 1)
    expect(keys.toSorted().toReversed()).toEqual(keys)
    await page.getByRole('button', { name: 'Order: from Z to A' }).click()
    await page.getByRole('menuitem', { name: 'Keys from A to Z' }).click()
    await rowOf(page, keyOf(0)).waitFor()
  })
})

test('what is typed narrows the list at once, is kept in the address, and goes back', async () => {
  await browser.onPage(address('big'), async (page) => {
    await rowOf(page, keyOf(0)).waitFor()
    await page.keyboard.press('/')
    await page.keyboard.type('user-04242')
    await rowOf(page, keyOf(42_421)).waitFor()
    await page.getByText('1–10 of 10').waitFor()
    expect(new URL(page.url()).search).toBe('?prefix=user-04242')

    await searchField(page).fill('*999')
    await rowOf(page, keyOf(999)).waitFor()
    expect(new URL(page.url()).searchParams.get('filter')).toBe('*999')
    await page.getByLabel('How to search').selectOption('Value contains')
    await page.waitForURL((url) => url.searchParams.get('match') === '*999')
    await searchField(page).fill('Person 4242')
    await rowOf(page, keyOf(4242)).waitFor()
    expect(new URL(page.url()).searchParams.get('match')).toBe('*Person 4242*')

    await searchField(page).fill('Person x')
    await page.getByText('with a value that matches “*Person x*”').waitFor()
    await expectAccessible(page)
    await page.getByRole('button', { name: 'Clear the filter' }).click()
    await rowOf(page, keyOf(0)).waitFor()
    await eventually(async () => expect(await searchField(page).inputValue()).toBe(''))
  })
})

test('a filter on values finds as it is written, says where it is wrong, and fields sort what it finds', async () => {
  const cities = [
    ['kiruna', 'SE', 23],
    ['malmö', 'SE', 362],
    ['oslo', 'NO', 717],
    ['umeå', 'SE', 133],
  ] as const
  const lines = cities.map(([key, country, size]) => JSON.stringify({ key, value: { country, size } }))
  await importLines('cities', lines.join('\n'))
  await browser.onPage(
    address('cities'),
    async (page) => {
      await rowOf(page, 'oslo').waitFor()
      await page.keyboard.press('/')
      await page.keyboard.type('@.country == "SE"')
      await page.getByText('1–3 of 3').waitFor()
      await untilKeysAre(page, ['kiruna', 'malmö', 'umeå'])
      expect(new URL(page.url()).searchParams.get('where')).toBe('@.country == "SE"')
      // All at once: `@.s` is a filter, too, and finds nothing.
      await page.keyboard.insertText(' && @.size >')
      const fault = page.getByRole('search').getByRole('status')
      await fault.locator('mark', { hasText: '…' }).waitFor()
      await untilKeysAre(page, ['kiruna', 'malmö', 'umeå'])
      await screenshot(page, 'members-where')
      await expectAccessible(page)
      await page.keyboard.type(' 100')
      await page.getByText('1–2 of 2').waitFor()
      await fault.waitFor({ state: 'detached' })

      await page.getByRole('button', { name: 'Order: from A to Z' }).click()
      await page.getByRole('menuitem', { name: 'By a field…' }).click()
      await page.getByLabel('Fields', { exact: true }).fill('-@.size')
      await page.keyboard.press('Enter')
      await page.getByRole('button', { name: 'sorted by -@.size' }).waitFor()
      await untilKeysAre(page, ['malmö', 'umeå'])
      await page.keyboard.press('Escape')
      await untilKeysAre(page, ['oslo', 'malmö', 'umeå', 'kiruna'])
    },
    { expected: [/status of 400/] },
  )
})

test('folders open and close by keyboard and by the path above, and keys are text whatever they contain', async () => {
  await browser.onPage(address('tree?view=folders'), async (page) => {
    await untilKeysAre(page, ['<script>alert(1)</', 'a/', 'b/', 'five', 'odd/'])
    await screenshot(page, 'members-folders')
    for (const key of ['j', 'j', 'j', 'Enter']) await page.keyboard.press(key)
    await untilKeysAre(page, ['c/', 'four'])
    await page.keyboard.press('j')
    await page.keyboard.press('Enter')
    await rowOf(page, 'three').waitFor()
    await page.keyboard.press('Backspace')
    await rowOf(page, 'four').waitFor()
    await page.getByRole('navigation', { name: 'Folders' }).getByRole('link', { name: 'tree' }).click()
    await rowOf(page, 'odd/').click()
    await rowOf(page, '⟨202E⟩😀/').waitFor()
    await expectAccessible(page)

    await page.getByRole('button', { name: 'Show all keys' }).click()
    await page.goto(address('tree'))
    await rowOf(page, oddKey).getByText(`"<b>${oddKey}</b>"`).waitFor()
    await rowOf(page, oddKey).click()
    await page.waitForURL(/\/m\/%3Cscript%3E/)
  })
})

test('with the keyboard alone members are selected, touched and deleted', async () => {
  await fill('keyed', 40)
  await browser.onPage(address('keyed'), async (page) => {
    await rowOf(page, keyOf(0)).waitFor()
    await page.keyboard.press('j')
    await page.keyboard.press('x')
    for (let i = 0; i < 3; i++) await page.keyboard.press('Shift+ArrowDown')
    await page.keyboard.press('Shift+ArrowUp')
    await page.getByText('3 selected').waitFor()
    await screenshot(page, 'members-selected')
    await expectAccessible(page)
    await page.keyboard.press('t')
    await page.getByLabel('They expire', { exact: true }).fill('7d')
    await page.keyboard.press('Enter')
    await rowOf(page, keyOf(0)).getByText('6 d 23 h').waitFor()
    // The selection goes when all of them were touched.
    await page.getByText('3 selected').waitFor({ state: 'detached' })
    await page.getByRole('dialog').waitFor({ state: 'detached' })
    const expiring = (await membersIn(`${server.url}/v1/keyed`)).filter(
      (member) => member.expires_at !== null,
    )
    expect(expiring.map(({ key }) => key)).toEqual([0, 1, 2].map(keyOf))

    await page.keyboard.press('Home')
    await page.keyboard.press('x')
    await page.keyboard.press('Delete')
    await page.getByRole('dialog', { name: 'Delete 1 member?' }).waitFor()
    await page.keyboard.press('Enter')
    await page.getByText('Deleted 1 member').waitFor()
    await page.getByText('of 39').waitFor()
    await rowOf(page, keyOf(0)).waitFor({ state: 'detached' })

    await page.keyboard.press('Enter')
    await page.waitForURL(/\/m\/user-000001/)
    // Its keys are there when it is.
    await page.getByRole('textbox', { name: 'Value of user-000001' }).waitFor()
    await page.keyboard.press('Escape')
    await page.waitForURL(address('keyed'))
    await pressSequence(page, ['g', 't'])
    await page.waitForURL(/\/console\/tokens/)
    await page.goBack()
    await page.keyboard.press('?')
    await page.getByRole('dialog', { name: 'Keys' }).getByText('Select downwards').waitFor()
  })
})

test('members that failed are named, and those that were selected are exported', async () => {
  await fill('some', 5)
  await browser.onPage(address('some'), async (page) => {
    await rowOf(page, keyOf(0)).waitFor()
    await page.keyboard.press('p')
    await page.getByText('Paused', { exact: true }).waitFor()
    await fetch(`${server.url}/v1/some/${keyOf(1)}`, { method: 'DELETE' })
    await rowOf(page, keyOf(0)).click({ modifiers: ['Control'] })
    await rowOf(page, keyOf(2)).click({ modifiers: ['Shift'] })
    await page.getByText('3 selected').waitFor()
    await page.getByRole('button', { name: 'Change when they expire' }).click()
    await page.getByRole('button', { name: '1 hour' }).click()
    await page.getByRole('button', { name: 'Change', exact: true }).click()
    const failed = page.getByRole('dialog', { name: 'Not everything was done' })
    await failed.getByText(`${keyOf(1)} It is not there any more`).waitFor()
    await failed.getByRole('button', { name: 'Close', exact: true }).last().click()
    await failed.waitFor({ state: 'detached' })

    await page.keyboard.press('Escape')
    await rowOf(page, keyOf(3)).click({ modifiers: ['Control'] })
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: 'Export as NDJSON' }).click(),
    ])
    expect(download.suggestedFilename()).toBe('some.ndjson')
    expect(readFileSync(await download.path(), 'utf8')).toBe(
      `{"key":"${keyOf(3)}","value":3,"expires_at":null}\n`,
    )
  })
})

test('all that match are deleted when their collection was named', async () => {
  await fill('many', 1200)
  await browser.onPage(address('many?filter=*0'), async (page) => {
    await rowOf(page, keyOf(0)).waitFor()
    await page.keyboard.press('Control+a')
    await page.getByRole('button', { name: 'Delete', exact: true }).click()
    await page.getByLabel('Type “many” to confirm').fill('many')
    await page.keyboard.press('Enter')
    await page.getByText('Deleted 120 members').waitFor()
    await page.getByText('Nothing matches').waitFor()
    expect(await membersIn(`${server.url}/v1/many`, '?limit=2000')).toHaveLength(1080)
  })
})

test('a change is seen at once; what is new is counted, and what is gone stays until the list is read again', async () => {
  await fill('live', 12)
  await browser.onPage(address('live'), async (page) => {
    await rowOf(page, keyOf(0)).waitFor()
    await page.getByText('Live', { exact: true }).waitFor()
    const glow = appears(page, '[role="row"].glow')
    await put(`${server.url}/v1/live/${keyOf(3)}`, '{"now": "changed"}')
    await rowOf(page, keyOf(3)).getByText('{"now": "changed"}').waitFor()
    await glow

    await put(`${server.url}/v1/live/a-first`, '1')
    await put(`${server.url}/v1/live/${keyOf(3)}-later`, '1')
    await page.getByRole('button', { name: '2 new' }).waitFor()
    await fetch(`${server.url}/v1/live/${keyOf(5)}`, { method: 'DELETE' })
    await rowOf(page, keyOf(5)).getByText('deleted').waitFor()
    await untilKeysAre(
      page,
      Array.from({ length: 12 }, (_, i) => keyOf(i)),
    )
    await screenshot(page, 'members-live')
    await expectAccessible(page)

    await page.keyboard.press('.')
    await rowOf(page, 'a-first').waitFor()
    await rowOf(page, `${keyOf(3)}-later`).waitFor()
    await rowOf(page, keyOf(5)).waitFor({ state: 'detached' })
  })
})

test('a burst of changes reads what is seen every 300 ms at most', async () => {
  const rounds = 9
  await fill('burst', 300)
  await browser.onPage(
    address('burst'),
    async (page) => {
      await rowOf(page, keyOf(0)).waitFor()
      await page.getByText('Live', { exact: true }).waitFor()
      let reads = 0
      page.on('request', (request) => {
        if (request.url().includes('/v1/burst')) reads++
      })
      const follow = () => page.clock.runFor(100)
      for (let round = 0; round < rounds; round++) {
        const lines = Array.from(
          { length: 300 },
          (_, i) => `{"key":"${keyOf(i)}","value":"round ${round}"}\n`,
        )
        await importLines('burst', lines.join(''))
        await follow()
      }
      let ticks = rounds
      for (
        ;
        (await rowOf(page, keyOf(0))
          .getByText(`"round ${rounds - 1}"`)
          .count()) === 0;
        ticks++
      )
        await follow()
      expect(reads).toBeLessThanOrEqual(Math.ceil(ticks / 3) + 1)
    },
    { stoppedAtMs: Date.now() },
  )
})

test('of huge values the list reads the beginnings of those that are seen', async () => {
  const huge = JSON.stringify({ start: 'here', rest: 'x'.repeat(200_000) })
  const lines = Array.from({ length: 40 }, (_, i) => `{"key":"${keyOf(i)}","value":${huge}}\n`)
  await importLines('huge', lines.join(''))
  await browser.onPage(address('huge'), async (page) => {
    let bytes = 0
    page.on('response', async (response) => {
      if (!response.url().includes('/v1/huge/')) return
      // The page may be closed before the last of them has come.
      bytes += (await response.body().catch(() => [])).length
    })
    await rowOf(page, keyOf(7)).getByText('{"start":"here"').waitFor()
    await put(`${server.url}/v1/huge/${keyOf(7)}`, `{"now": "changed", "rest": ${huge}}`)
    await rowOf(page, keyOf(7)).getByText('{"now": "changed"').waitFor()
    await page.keyboard.press('End')
    await rowOf(page, keyOf(39)).getByText('{"start":"here"').waitFor()
    await eventually(() => expect(bytes).toBeGreaterThan(0))
    expect(bytes).toBeLessThan(80 * 1024)
  })
})

test('an empty collection teaches, and its first member appears by itself', async () => {
  const path = "it's%20$(fresh)"
  await browser.onPage(address(path), async (page) => {
    await page.getByText('No members yet').waitFor()
    const line = `curl -X PUT '${server.url}/v1/it'\\''s%20%24(fresh)/first' --json '{"hello": "world"}'`
    await page.getByText(line).waitFor()
    await expectAccessible(page)
    await put(`${server.url}/v1/${path}/first`, '{"hello": "world"}')
    await rowOf(page, 'first').getByText('{"hello": "world"}').waitFor()
  })
})

test('a member is made from the list', async () => {
  await fill('made', 1)
  await browser.onPage(address('made'), async (page) => {
    await rowOf(page, keyOf(0)).waitFor()
    await page.keyboard.press('n')
    const dialog = page.getByRole('dialog', { name: 'New member' })
    await dialog.getByLabel('Key').fill('notes/today')
    await dialog.getByLabel('Value', { exact: true }).fill('{"a":')
    await dialog.getByRole('button', { name: 'Create' }).click()
    const value = dialog.getByLabel('Value', { exact: true })
    await eventually(async () => expect(await value.getAttribute('aria-invalid')).toBe('true'))
    await screenshot(page, 'members-new')
    await expectAccessible(page)
    await dialog.getByText('Text', { exact: true }).click()
    await dialog.getByLabel('It expires').fill('90m')
    await dialog.getByRole('button', { name: 'Create' }).click()
    await page.waitForURL(/\/made\/m\/notes\/today/)
    const [member] = await membersIn(`${server.url}/v1/made`, '?prefix=notes')
    expect(member).toMatchObject({ key: 'notes/today', value_text: '{"a":' })
    expect(member!.expires_at).not.toBeNull()
  })
})

test('on a phone the list has the whole screen, rows of two lines, and a way back', async () => {
  await browser.onPage(
    address('big'),
    async (page) => {
      await rowOf(page, keyOf(0)).waitFor()
      await expectAccessible(page)
      await screenshot(page, 'members-phone')
      expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true)
      expect((await rowOf(page, keyOf(1)).boundingBox())?.height).toBe(52)
      await rowOf(page, keyOf(1)).locator('.check').tap()
      await page.getByText('1 selected').waitFor()
      await page.getByRole('button', { name: 'Select none' }).tap()
      await rowOf(page, keyOf(2)).tap()
      await page.waitForURL(/\/m\/user-000002/)
      await page.goBack()
      await page.getByRole('link', { name: 'All collections', exact: true }).tap()
      await page.waitForURL(/\/console\/$/)
    },
    { width: 380, height: 760, hasTouch: true, colorScheme: 'dark' },
  )
})
