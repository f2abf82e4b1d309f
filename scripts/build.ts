/**
 * `npm run build` builds `dist/kvist`, a single executable that runs without Node and Bun. `bun scripts/build.ts FILE`
 * builds it elsewhere.
 *
 * `npm run build -- --target linux-x64,darwin-arm64` builds executables for other systems in `dist/executables`, with
 * their checksums in SHA256SUMS; `--target all` for all of them, `--to FOLDER` elsewhere.
 */
import { readdirSync, statSync, writeFileSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { version } from '../package.json' with { type: 'json' }
import { buildExecutable, targetNames, targets } from './executable.ts'

const { values: given, positionals } = parseArgs({
  options: { target: { type: 'string' }, to: { type: 'string' } },
  allowPositionals: true,
})

function report(executable: string): void {
  const megabytes = (statSync(executable).size / 1e6).toFixed(0)
  console.log(`${relative(process.cwd(), executable)}: ${megabytes} MB`)
}

/** Builds an executable for each of these systems, one after the other: each takes some 200 MB of memory. */
async function buildFor(names: readonly string[], folder: string): Promise<void> {
  for (const name of names) {
    const file = `kvist-${version}-${name}${name.startsWith('windows') ? '.exe' : ''}`
    await buildExecutable(join(folder, file), targets[name])
    report(join(folder, file))
  }
  const files = readdirSync(folder).filter((file) => file.startsWith('kvist-'))
  const lines = await Promise.all(
    files.toSorted().map(async (file) => `${await sha256(join(folder, file))}  ${file}`),
  )
  writeFileSync(join(folder, 'SHA256SUMS'), lines.map((line) => `${line}\n`).join(''))
}

async function sha256(path: string): Promise<string> {
  const hash = new Bun.CryptoHasher('sha256')
  for await (const part of Bun.file(path).stream()) hash.update(part)
  return hash.digest('hex')
}

function fail(message: string): never {
  console.error(`build: ${message}`)
  process.exit(1)
}

const dist = join(import.meta.dir, '../dist')
if (given.target === undefined) {
  const executable = resolve(positionals[0] ?? join(dist, 'kvist'))
  await buildExecutable(executable)
  report(executable)
} else {
  if (positionals.length > 0) fail(`${positionals[0]} is one file: with --target give --to FOLDER`)
  const asked = given.target === 'all' ? targetNames : given.target.split(',')
  const unknown = asked.find((name) => !targetNames.includes(name))
  if (unknown !== undefined)
    fail(`there is no target "${unknown}": there are ${targetNames.join(', ')}, and all`)
  await buildFor([...new Set(asked)], resolve(given.to ?? join(dist, 'executables')))
}
