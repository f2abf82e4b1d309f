/**
 * Makes a checkout ready to run: installs what package-lock.json pins, and makes sure that Bun is there. Runs before
 * `npm start` and `npm test`, and from bin/kvist, so it uses nothing but Node, and costs little when all is done.
 * Says what it does on stderr; stdout belongs to the program that is started next.
 *
 * It installs what serving needs; `--dev` also what tests, benches and builds of packages need. A checkout that has that
 * keeps it. Then it builds the console, when its sources are not those that it was built from.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isDeepStrictEqual } from 'node:util'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const stampPath = join(root, 'node_modules/.setup-stamp')
const bunPath = join(root, 'node_modules/bun/bin/bun.exe')

/** Where its install script did not run, the package holds a shell script of some 450 bytes in place of Bun. */
const minBunBytes = 1_000_000

const lockedPackages = Object.entries(readJson(join(root, 'package-lock.json')).packages).filter(
  ([path]) => path !== '',
)
const needsDev = process.argv.includes('--dev') || hasDevPackages()

const versions = createHash('sha256')
  .update(readFileSync(join(root, 'package.json')))
  .update(readFileSync(join(root, 'package-lock.json')))
  .update(`${process.platform} ${process.arch}`)
  .digest('hex')
const stamp = `${versions} ${needsDev ? 'with' : 'without'} development`

if (readStamp() !== stamp || !isBunThere()) {
  if (!isInstalled(needsDev)) installPackages()
  if (!isBunThere()) need(run('unpacking Bun', process.execPath, [join(root, 'node_modules/bun/install.js')]))
  need(run(null, bunPath, ['--version']))
  writeFileSync(stampPath, stamp)
}
setUpConsole()

/** Builds the console for src/http/console.ts, which cannot do without. Some checkouts have no sources of it yet: a container's. */
function setUpConsole() {
  const builder = join(root, 'scripts/build-console.ts')
  if (!existsSync(builder)) return
  const built = join(root, 'console/dist/console.pack')
  const builtStampPath = join(root, 'console/dist/.stamp')
  const digest = digestOfConsole(builder)
  const isBuilt =
    existsSync(built) && existsSync(builtStampPath) && readFileSync(builtStampPath, 'utf8') === digest
  if (isBuilt) return
  need(run('building the console', bunPath, ['--no-env-file', builder]))
  writeFileSync(builtStampPath, digest)
}

/** A digest of all that the built console depends on. */
function digestOfConsole(builder) {
  const sources = ['console', 'sdk'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && !entry.name.includes('.test.'))
      .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
      .filter(
        (path) =>
          !path.startsWith(join(root, 'console/dist')) &&
          !path.startsWith(join(root, 'console/node_modules')) &&
          !path.startsWith(join(root, 'console/.svelte-check')),
      )
      .sort(),
  )
  const digest = createHash('sha256')
  for (const path of [...sources, builder, join(root, 'package-lock.json')]) {
    digest.update(`${relative(root, path)}\0`).update(readFileSync(path))
  }
  return digest.digest('hex')
}

function readStamp() {
  return existsSync(stampPath) ? readFileSync(stampPath, 'utf8') : null
}

function isBunThere() {
  return existsSync(bunPath) && statSync(bunPath).size >= minBunBytes
}

/** What npm says that it installed; null if it installed nothing. */
function readAccount() {
  const path = join(root, 'node_modules/.package-lock.json')
  return existsSync(path) ? readJson(path).packages : null
}

/** Whether packages for development alone were installed here, by this script or by hand. */
function hasDevPackages() {
  return Object.values(readAccount() ?? {}).some(({ dev }) => dev)
}

/**
 * Whether node_modules already is what the lock file asks of this machine, as after a developer's own `npm install`:
 * then it stays as it is, for somebody may be using it.
 */
function isInstalled(withDev) {
  const installed = readAccount()
  if (installed === null || !isLockInSync()) return false
  return lockedPackages.every(([path, wanted]) => {
    if (wanted.dev && !withDev) return true
    const found = installed[path]
    if (!found) return !isNeededHere(wanted)
    return found.version === wanted.version && existsSync(join(root, path))
  })
}

/** An optional package that names no platform came with another, or did not. */
function isNeededHere({ optional, os, cpu, libc }) {
  if (!optional) return true
  if (!os && !cpu) return false
  const isGlibc = Boolean(process.report.getReport().header.glibcVersionRuntime)
  return (
    (!os || os.includes(process.platform)) &&
    (!cpu || cpu.includes(process.arch)) &&
    (!libc || process.platform !== 'linux' || libc.includes(isGlibc ? 'glibc' : 'musl'))
  )
}

/** Whether the lock file was made from what package.json asks for now. */
function isLockInSync() {
  const asked = readJson(join(root, 'package.json'))
  const locked = readJson(join(root, 'package-lock.json')).packages['']
  return ['dependencies', 'devDependencies', 'optionalDependencies'].every((kind) =>
    isDeepStrictEqual(asked[kind] ?? {}, locked[kind] ?? {}),
  )
}

function installPackages() {
  const flags = [needsDev ? '--include=dev' : '--omit=dev', '--include=optional', '--no-audit', '--no-fund']
  const adding = ['install', '--no-save', ...flags]
  // What serving needs stays where it is: a server may be running from it.
  if (needsDev && isInstalled(false)) return need(runNpm('adding packages for development', adding))
  const exact = runNpm('installing packages with npm ci', ['ci', ...flags])
  if (exact.ok) return
  // Where a registry lacks packages for other platforms, npm writes a lock file without them, which `npm ci` then
  // refuses although all that this machine needs is pinned in it. `npm install` keeps to the same pins.
  if (!isLockInSync()) need(exact)
  need(runNpm('installing packages with npm install', adding))
}

function runNpm(what, args) {
  const npmCli = process.env.npm_execpath
  return npmCli?.endsWith('npm-cli.js')
    ? run(what, process.execPath, [npmCli, ...args])
    : run(what, 'npm', args)
}

/** Runs a command in the checkout and keeps what it prints; `what` it does is printed when that may take a while. */
function run(what, command, args) {
  const startedMs = Date.now()
  if (what) process.stderr.write(`kvist: ${what} … `)
  const done = spawnSync(command, args, {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  })
  const ok = done.status === 0
  const seconds = ((Date.now() - startedMs) / 1000).toFixed(1)
  if (what) process.stderr.write(`${ok ? 'done' : 'failed'} in ${seconds} s\n`)
  const said = done.error ? done.error.message : done.stdout + done.stderr
  return { ok, output: `${command} ${args.join(' ')}\n${said}` }
}

function need({ ok, output }) {
  if (ok) return
  process.stderr.write(`${output}\nkvist: could not set up this checkout; the reason is above\n`)
  process.exit(1)
}

function readJson(path) {
  return JSON.parse(readFileSync(path, 'utf8'))
}
