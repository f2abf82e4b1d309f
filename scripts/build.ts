/**
 * `npm run build` builds `dist/kvist`, a single executable that runs without Node and Bun. `bun scripts/build.ts FILE`
 * builds it elsewhere.
 */
import { statSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { buildExecutable } from './executable.ts'

const executable = resolve(process.argv[2] ?? join(import.meta.dir, '../dist/kvist'))
await buildExecutable(executable)
const megabytes = (statSync(executable).size / 1e6).toFixed(0)
console.log(`${relative(process.cwd(), executable)}: ${megabytes} MB`)
