/**
 * `npm run build:sdk` builds `dist/sdk`, the client as a package: `client.js`, one ES module for Node, Deno, Bun and
 * browsers, and its types. `npm install ./dist/sdk` installs it as `kvist-client`, and a web page can load the module
 * directly. `bun scripts/build-sdk.ts FOLDER` builds it elsewhere.
 */
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { manifestOf } from './packages/manifest.ts'
import { compileClient } from './packages/modules.ts'

const root = join(import.meta.dir, '..')

/** Builds the package and replaces the folder. Throws the errors of the sources. */
async function build(folder: string): Promise<void> {
  mkdirSync(dirname(folder), { recursive: true })
  // Build beside the target, so that a failed build leaves the previous one.
  const made = mkdtempSync(join(dirname(folder), '.build-'))
  try {
    await compileClient(made)
    writeFileSync(join(made, 'package.json'), `${JSON.stringify(manifestOf('kvist-client'), null, 2)}\n`)
    copyFileSync(join(root, 'sdk/README.md'), join(made, 'README.md'))
    copyFileSync(join(root, 'LICENSE'), join(made, 'LICENSE'))
    chmodSync(made, 0o755)
    rmSync(folder, { recursive: true, force: true })
    renameSync(made, folder)
  } finally {
    rmSync(made, { recursive: true, force: true })
  }
}

const folder = resolve(process.argv[2] ?? join(root, 'dist/sdk'))
await build(folder)
const kilobytes = (Bun.file(join(folder, 'client.js')).size / 1e3).toFixed(0)
console.log(`${relative(process.cwd(), folder)}: client.js, ${kilobytes} kB, and its types`)
