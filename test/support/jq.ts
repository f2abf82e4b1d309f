import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** As much of jq as the docs use, so that their tests need none. */
const program = `
const path = process.argv.at(-1).split('.').filter(Boolean)
for (const line of (await Bun.stdin.text()).trim().split('\\n').filter(Boolean))
  console.log(path.reduce((value, name) => value[name], JSON.parse(line)))
`

/** Writes a program `jq` to the folder. */
export function writeJq(folder: string): void {
  writeFileSync(join(folder, 'jq'), `#!${process.execPath}\n${program}`, { mode: 0o755 })
}
