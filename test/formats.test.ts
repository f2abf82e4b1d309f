import { expect, test } from 'bun:test'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Engine } from '../src/core/engine.ts'
import { checkFolder } from '../src/engines/sqlite/check/check-folder.ts'
import { tableFormat } from '../src/engines/sqlite/table/schema.ts'
import { newFolder, withEngine } from './support/engine.ts'
import { feedOf, noonMs, put, write } from './support/engine-writes.ts'
import { expectFormatTwo } from './support/format-2.ts'

/** A data folder of each format, as a kvist of that time left it when it was killed, is opened by this one. */

const fixtures = join(import.meta.dir, 'fixtures')
const dayMs = 86_400_000

/** For each format how many changes the feed has, and what the members have to be. */
const formats: Readonly<
  Record<number, { readonly changes: number; expectMembers(engine: Engine): Promise<void> }>
> = {
  2: { changes: 128, expectMembers: expectFormatTwo },
  3: { changes: 64, expectMembers: expectFormatThree },
}

async function expectFormatThree(engine: Engine): Promise<void> {
  const read = (key: string, collection = 'things') => engine.read(collection, key)
  for (let i = 6; i < 60; i++)
    expect(await read(`k${String(i).padStart(3, '0')}`)).toMatchObject({
      value: `{"number": ${i}}`,
      expiresAtMs: i % 10 === 0 ? noonMs + dayMs * (i + 1) : null,
    })
  for (const [key, cause] of [
    ['k002', 'delete'],
    ['k003', 'expire'],
    ['k005', 'delete'],
  ] as const) {
    expect(await read(key)).toBeNull()
    expect((await engine.tombstone('things', key))?.cause).toBe(cause)
  }
  expect(await read('large')).toMatchObject({
    value: Uint8Array.from({ length: 100_000 }, (_, i) => (i >> 8) & 255),
    contentType: 'image/png',
    flags: 7,
  })
  expect((await read('é\u{1F600}/ß'))?.value).toBe('"ü \u{1F600}"')
  expect((await read('k001', 'others'))?.value).toBe('"other"')
  expect((await read('fresh'))?.value).toBe('"in the log"')
  expect((await read('k004'))?.value).toBe('"again"')
}

function folderOf(name: string): string {
  const dir = newFolder()
  mkdirSync(dir, { recursive: true })
  for (const file of readdirSync(join(fixtures, name)))
    writeFileSync(
      join(dir, file.replace(/\.gz$/, '')),
      Bun.gunzipSync(readFileSync(join(fixtures, name, file))),
    )
  return dir
}

const names = readdirSync(fixtures).filter((name) => name.startsWith('format-'))

test('there is a folder of each format that this kvist opens, the present one included', () => {
  expect(names.toSorted()).toEqual(Object.keys(formats).map((format) => `format-${format}`))
  expect(Object.keys(formats).at(-1)).toBe(String(tableFormat))
})

test.each(names)('a folder of %s is opened, read, written and opened again', async (name) => {
  const { changes, expectMembers } = formats[Number(name.slice('format-'.length))]!
  const dir = folderOf(name)
  const lines: string[] = []
  for (let time = 0; time < 2; time++)
    await withEngine(
      dir,
      async (engine) => {
        await expectMembers(engine)
        expect(await feedOf(engine)).toHaveLength(changes + time)
        const head = Number(engine.head())
        const [written] = await write(engine, [put('written', `"${time}"`)])
        expect(written!.revision).toBe(head + 1)
        expect((await engine.read('things', 'written'))?.value).toBe(`"${time}"`)
      },
      { warn: (line) => lines.push(line) },
    )
  expect(await checkFolder(dir)).toMatchObject({ isWhole: true, findings: [], format: tableFormat })
  // An upgrade is said before it begins; the present format needs none.
  expect(lines.filter((line) => line.includes('upgrading it to')).length).toBe(
    name === `format-${tableFormat}` ? 0 : 1,
  )
})

test.each(names.filter((name) => name !== `format-${tableFormat}`))(
  'a folder of %s is not checked as if it were of this format',
  async (name) => {
    await expect(checkFolder(folderOf(name))).rejects.toThrow(
      /is of an older kvist: start kvist with it once/,
    )
  },
)
