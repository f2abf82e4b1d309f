import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { unpack } from '../../src/http/console-pack.ts'
import { serverEntryPoints } from '../server-entry-points.ts'

const root = join(import.meta.dir, '../..')

/**
 * Bundles the server and the command line with everything that they import into a folder: `main.js` for Bun, the modules
 * that it loads when they are needed, the worker threads and the files of the API page. Names and lines stay readable.
 * Returns the names of the packages that are inside.
 */
export async function bundleServer(folder: string): Promise<string[]> {
  const { metafile, outputs } = await Bun.build({
    entrypoints: serverEntryPoints(),
    root,
    outdir: folder,
    target: 'bun',
    format: 'esm',
    // A command loads what it needs: `kvist get` is ten times as quick as with one large module.
    splitting: true,
    minify: { syntax: true },
    metafile: true,
    // All in one folder, so that a path relative to any module finds the worker threads.
    naming: { entry: '[name].[ext]', chunk: '[name]-[hash].[ext]', asset: '[name]-[hash].[ext]' },
  })
  for (const { path } of outputs.filter(({ path }) => path.endsWith('.js'))) nameBundledWorkers(path)
  const inside = Object.keys(metafile?.inputs ?? {}).flatMap((path) => {
    const found = /^.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1]
    return found === undefined ? [] : [found]
  })
  if (inside.length === 0) throw new Error('the bundle does not say what is inside')
  return [...new Set(inside)].toSorted()
}

const workerUrl = /new URL\("\.\/([\w-]+-worker)\.ts", ?import\.meta\.url\)/g

/** Makes a module start the worker threads as they are called in the bundle. Throws if one is not there. */
function nameBundledWorkers(path: string): void {
  const text = readFileSync(path, 'utf8')
  const named = text.replace(workerUrl, (_, name: string) => {
    if (!existsSync(join(path, '..', `${name}.js`)))
      throw new Error(`${path} starts ${name}, which is not built`)
    return `new URL("./${name}.js", import.meta.url)`
  })
  if (named !== text) writeFileSync(path, named)
}

/** Returns the licences of the packages that are inside the console. */
export function licencesOfConsole(): string {
  const { plain } = unpack(readFileSync(join(root, 'console/dist/console.pack'))).get('licences.md')!
  return `\n${Buffer.from(plain()).toString().replace('# Licenses\n\nThe app bundles', 'The console bundles')}`
}

/** Returns the licences of bundled packages, which ask for that, as one text. Throws if a package has none. */
export function licencesOf(names: readonly string[]): string {
  const parts = names.map((name) => {
    const folder = join(root, 'node_modules', name)
    const { version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
    const files = readdirSync(folder).filter((file) => /^(licen[cs]e|notice)/i.test(file))
    if (files.length === 0 && license === undefined)
      throw new Error(`${relative(root, folder)} has no licence`)
    const texts = files.map((file) => readFileSync(join(folder, file), 'utf8').trim())
    return [`${name} ${version} (${license})`, ...texts].join('\n\n')
  })
  return `kvist contains these packages.\n\n${parts.join(`\n\n${'-'.repeat(72)}\n\n`)}\n`
}
