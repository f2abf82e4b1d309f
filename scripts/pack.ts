/**
 * `npm run pack` makes the packages of packages/packages.ts ready to publish: a folder and a tarball for each, in
 * `dist/packages`. `bun scripts/pack.ts FOLDER` makes them elsewhere.
 */
import { chmodSync, copyFileSync, cpSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { packages } from '../packages/packages.ts'
import { manifestOf } from './packages/manifest.ts'
import { compileClient, compileModules } from './packages/modules.ts'
import { bundleServer, licencesOf, licencesOfConsole } from './packages/server.ts'

const root = join(import.meta.dir, '..')

interface Packed {
  readonly filename: string
  readonly size: number
  readonly unpackedSize: number
}

/** Fills the folder of one package. Its tests, sources and settings stay out. */
async function fill(name: string, folder: string, clientFolder: string): Promise<void> {
  if (name === 'kvist') {
    const inside = await bundleServer(join(folder, 'dist'))
    writeFileSync(join(folder, 'THIRD-PARTY-LICENSES'), licencesOf(inside) + licencesOfConsole())
    cpSync(join(root, 'packages/kvist/bin'), join(folder, 'bin'), { recursive: true })
  } else if (name === 'kvist-client') {
    await compileClient(folder)
  } else {
    compileModules(name, join(clientFolder, 'client.d.ts'), folder)
    rmSync(join(folder, 'tsconfig.json'))
  }
  const own = join(root, 'packages', name, 'README.md')
  copyFileSync(existsSync(own) ? own : join(root, 'sdk/README.md'), join(folder, 'README.md'))
  copyFileSync(join(root, 'LICENSE'), join(folder, 'LICENSE'))
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifestOf(name), null, 2)}\n`)
}

/** Makes all packages, the client first, since the others are compiled with its types. */
async function pack(target: string): Promise<readonly Packed[]> {
  rmSync(target, { recursive: true, force: true })
  const names = Object.keys(packages)
  const folders = names.map((name) => join(target, name))
  for (const folder of folders) mkdirSync(folder, { recursive: true })
  const clientFolder = join(target, 'kvist-client')
  await fill('kvist-client', clientFolder, clientFolder)
  for (const name of names.filter((other) => other !== 'kvist-client'))
    await fill(name, join(target, name), clientFolder)
  const done = Bun.spawnSync(['npm', 'pack', '--json', '--pack-destination', target, ...folders], {
    stderr: 'inherit',
  })
  if (!done.success) throw new Error('npm pack failed')
  return JSON.parse(done.stdout.toString())
}

const target = resolve(process.argv[2] ?? join(root, 'dist/packages'))
const packed = await pack(target)
chmodSync(target, 0o755)
for (const { filename, size, unpackedSize } of packed) {
  const sizes = `${(size / 1e3).toFixed(0)} kB, ${(unpackedSize / 1e3).toFixed(0)} kB unpacked`
  console.log(`${relative(process.cwd(), join(target, filename))}: ${sizes}`)
}
