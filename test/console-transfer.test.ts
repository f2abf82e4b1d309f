import { expect } from 'bun:test'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { type ConsoleBrowser, expectAccessible, screenshot, startConsoleBrowser } from './support/console.ts'
import { type ServerInProcess, serveInProcess } from './support/in-process-server.ts'
import { needing } from './support/needs.ts'
import { put } from './support/responses.ts'
import { eventually } from './support/until.ts'

/** Files into the store and out of it, by the console in a browser. */

const { test, beforeAll, afterAll } = needing('chromium')

const dir = mkdtempSync(join(tmpdir(), 'kvist-console-transfer-'))
let browser: ConsoleBrowser
let server: ServerInProcess

beforeAll(async () => {
  ;[browser, server] = await Promise.all([startConsoleBrowser(), serveInProcess()])
})

afterAll(async () => {
  await browser?.close()
  await server?.stop()
  rmSync(dir, { recursive: true, force: true })
})

function fileOf(name: string, text: string): string {
  const path = join(dir, name)
  writeFileSync(path, text)
  return path
}

const transfer = () => `${server.url}/console/transfer`

async function textAt(path: string): Promise<string> {
  return (await fetch(`${server.url}/v1/${path}`)).text()
}

async function statusAt(path: string): Promise<number> {
  return (await fetch(`${server.url}/v1/${path}`)).status
}

const inputOf = (page: Page) => page.getByLabel('File to import')
const importForm = (page: Page) => page.getByRole('region', { name: 'Import a file' })
const collectionField = (page: Page) => importForm(page).getByRole('combobox', { name: 'Collection' })
const exportForm = (page: Page) => page.getByRole('region', { name: 'Export a collection' })

test('lines of NDJSON are stored as they stand, and rejected ones are mended in place', async () => {
  const path = fileOf(
    'people.ndjson',
    '{"key":"ada","value":{"n":1.10}}\n{"key":"bob","value":\n{"key":"","value":<b>}\n',
  )
  await browser.onPage(transfer(), async (page) => {
    await inputOf(page).setInputFiles(path)
    await importForm(page).getByRole('button', { name: 'Import into people' }).click()
    await importForm(page).getByText('1 member stored, 2 lines rejected').waitFor()
    expect(await textAt('people/ada')).toBe('{"n":1.10}')

    const line = page.getByRole('textbox', { name: 'Line 2' })
    expect(await line.inputValue()).toBe('{"key":"bob","value":')
    await expectAccessible(page)
    await screenshot(page, 'transfer-rejected')
    await line.fill('{"key":"bob","value":2e400}')
    await page.getByRole('listitem').filter({ has: line }).getByRole('button', { name: 'Send again' }).click()
    await importForm(page).getByText('2 members stored, 1 line rejected').waitFor()
    expect(await textAt('people/bob')).toBe('2e400')

    const rest = page.getByRole('textbox', { name: 'Line 3' })
    await rest.fill('{"key":"","value":1}')
    await page.getByRole('button', { name: 'Send all again' }).click()
    await page.getByText('Still refused').waitFor()
    expect(await rest.inputValue()).toBe('{"key":"","value":1}')
    const saved = page.waitForEvent('download')
    await page.getByRole('button', { name: 'Save them' }).click()
    expect(readFileSync(await (await saved).path(), 'utf8')).toBe('{"key":"","value":1}\n')
    await page.getByRole('button', { name: 'Leave out' }).click()
    await page.getByRole('list', { name: 'Rejected lines' }).waitFor({ state: 'detached' })
    await importForm(page).getByText('2 members stored', { exact: false }).waitFor()
  })
})

test('a CSV that is dropped becomes objects of its columns, with the key that was chosen', async () => {
  await browser.onPage(transfer(), async (page) => {
    await page.getByText('Drop a file of NDJSON, JSON or CSV here').waitFor()
    await page.evaluate(`(() => {
      const data = new DataTransfer()
      data.items.add(new File(['code;name;n\\nse;"Sverige; ""S""";007\\nno;Norge;1.50\\nx;too few\\n'], 'lands.csv'))
      const zone = document.querySelector('[aria-label="Drop a file here"]')
      zone.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }))
    })()`)
    await importForm(page).getByText('lands.csv').waitFor()
    await page.getByLabel('The key is in').selectOption('code')
    await screenshot(page, 'transfer-csv')
    await expectAccessible(page)
    await page.getByRole('button', { name: 'Import into lands' }).click()
    await importForm(page).getByText('2 members stored, 1 line rejected').waitFor()
    expect(await textAt('lands/no')).toBe('{"code":"no","name":"Norge","n":1.50}')
    expect(JSON.parse(await textAt('lands/se'))).toEqual({ code: 'se', name: 'Sverige; "S"', n: '007' })
    await importForm(page).getByText('it has 2 fields, and the first line 3').waitFor()
  })
})

test('a JSON array and an object are split without a change of their values', async () => {
  const array = fileOf('cities.json', '[\n  {"id": 7, "n": 1e400},\n  {"id": "x"}\n]\n')
  const object = fileOf('words.json', '{"a/b": [1.0], "ü": null}')
  await browser.onPage(transfer(), async (page) => {
    await inputOf(page).setInputFiles(array)
    await page.getByRole('button', { name: 'Import into cities' }).click()
    await importForm(page).getByText('2 members stored').waitFor()
    expect(await textAt('cities/7')).toBe('{"id": 7, "n": 1e400}')
    await inputOf(page).setInputFiles(object)
    await page.getByRole('button', { name: 'Import into words' }).click()
    // The message may still be that of the first file.
    await eventually(async () => expect(await textAt('words/a%2Fb')).toBe('[1.0]'))
    await importForm(page).getByText('2 members stored').waitFor()
  })
})

test('an import is cancelled, and what is stored stays; a file that breaks off says so', async () => {
  const many = Array.from({ length: 6000 }, (_, i) => `{"key":"k${i}","value":1}\n`).join('')
  const path = fileOf('many.ndjson', many)
  const broken = fileOf('broken.json', '[{"id":"a"},{"id":')
  await browser.onPage(transfer(), async (page) => {
    await inputOf(page).setInputFiles(path)
    // The first request of several is let through.
    let requests = 0
    await page.route('**/v1/many', (route) => (++requests === 1 ? route.continue() : undefined))
    await page.getByRole('button', { name: 'Import into many' }).click()
    await eventually(() => expect(requests).toBe(2))
    await importForm(page).getByRole('button', { name: 'Cancel' }).click()
    await importForm(page).getByText('Cancelled: what is stored stays').waitFor()
    expect([await textAt('many/k0'), await statusAt('many/k5999')]).toEqual(['1', 404])
    await collectionField(page).fill('elsewhere')
    await inputOf(page).setInputFiles(broken)
    await page.getByRole('button', { name: 'Import into elsewhere' }).click()
    await page.getByText('ends before it is complete').waitFor()
  })
})

test('a collection is exported as each kind of file, and only the part that was asked for', async () => {
  await put(`${server.url}/v1/shop/a%2F1`, '{"name":"x, \\"y\\"","n":1.0}')
  await put(`${server.url}/v1/shop/b`, '{"other":[1],"n":2}')
  await put(`${server.url}/v1/shop/c`, '"text"')
  await browser.onPage(`${transfer()}?collection=shop`, async (page) => {
    const exported = async (kind: string) => {
      await exportForm(page).getByLabel('Kind of file').selectOption(kind)
      const saved = page.waitForEvent('download')
      await exportForm(page).getByRole('button', { name: 'Export shop' }).click()
      const download = await saved
      expect(download.suggestedFilename()).toBe(`shop.${kind}`)
      return readFileSync(await download.path(), 'utf8')
    }
    const lines = (await exported('ndjson')).trimEnd().split('\n')
    expect(lines[0]).toBe('{"key":"a/1","value":{"name":"x, \\"y\\"","n":1.0},"expires_at":null}')
    expect(lines).toHaveLength(3)
    expect(JSON.parse(await exported('json')).map(({ key }: { key: string }) => key)).toEqual([
      'a/1',
      'b',
      'c',
    ])
    expect(await exported('csv')).toBe(
      'key,name,n,other,value\r\na/1,"x, ""y""",1,,\r\nb,,2,[1],\r\nc,,,,text\r\n',
    )
    await exportForm(page).getByLabel('Only keys that begin with').fill('a/')
    expect((await exported('ndjson')).trimEnd().split('\n')).toHaveLength(1)
    await screenshot(page, 'transfer-export')
    await expectAccessible(page)
    await exportForm(page).getByRole('combobox', { name: 'Collection' }).fill("it's $(none)")
    await page.getByText('There is no such collection yet.').waitFor()
    const url = `'${server.url}/v1/it'\\''s%20%24(none)?include=values'`
    await exportForm(page).getByText(`curl -H 'Accept: application/x-ndjson' ${url} >`).waitFor()
  })
})

test('on a phone, and in the dark', async () => {
  await browser.onPage(transfer(), async (page) => screenshot(page, 'transfer-wide-dark'), {
    colorScheme: 'dark',
  })
  await browser.onPage(
    transfer(),
    async (page) => {
      await page.getByText('Drop a file of NDJSON, JSON or CSV here').waitFor()
      await expectAccessible(page)
      const edges = await page.evaluate<number[]>(
        '[...document.querySelectorAll("main *")].map((one) => one.getBoundingClientRect().right)',
      )
      expect(Math.max(...edges)).toBeLessThanOrEqual(380)
      await screenshot(page, 'transfer-phone')
    },
    { width: 380, height: 760, colorScheme: 'dark' },
  )
})
