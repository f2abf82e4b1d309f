import { chart } from './chart.ts'
import { type Results, save } from './results.ts'
import { markdown } from './table.ts'

/** Prints progress to stderr; only results go to stdout. */
export function print(line: string): void {
  process.stderr.write(`${line}\n`)
}

/** Saves results and their chart under the name, and prints them. */
export async function report(name: string, results: Results): Promise<void> {
  await save(name, 'json', `${JSON.stringify(results, null, 1)}\n`)
  const drawn = await save(name, 'svg', chart(results))
  process.stdout.write(markdown(results))
  print(`drawn in ${drawn}`)
}
