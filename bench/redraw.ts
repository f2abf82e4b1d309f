/** Redraws the charts of all saved results: `npm run bench:chart`. */
import { chart } from './chart.ts'
import { load, save, savedNames } from './results.ts'

for (const name of await savedNames()) {
  const path = await save(name, 'svg', chart(await load(name)))
  process.stdout.write(`${path}\n`)
}
