/**
 * `npm run build:deb` builds `dist/kvist_VERSION_ARCHITECTURE.deb`, the Debian package. `--arch arm64` builds it for another
 * architecture, `--to FOLDER` elsewhere, `--executable FILE` around an executable that is there, `--quick` without compressing it well.
 */
import {
  chmodSync,
  cpSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { gzipSync } from 'node:zlib'
import manifest from '../package.json' with { type: 'json' }
import { commands } from '../src/cli/commands.ts'
import { buildExecutable, targets } from './executable.ts'
import { manPage } from './man-page.ts'
import { bundleServer, licencesOf } from './packages/server.ts'

const root = join(import.meta.dir, '..')
const sources = join(root, 'deploy/debian')

/** Debian's name of an architecture, and that of the executable for it. */
const systems: Readonly<Record<string, string>> = { amd64: 'linux-x64', arm64: 'linux-arm64' }
const ownArchitecture = process.arch === 'x64' ? 'amd64' : process.arch

/** Settings of an administrator, which an upgrade leaves alone. */
const conffiles = ['/etc/kvist/kvist.env', '/etc/logrotate.d/kvist']

/** Where each shell looks for completions. */
const completions = {
  bash: 'usr/share/bash-completion/completions/kvist',
  zsh: 'usr/share/zsh/vendor-completions/_kvist',
  fish: 'usr/share/fish/vendor_completions.d/kvist.fish',
} as const

const { values: given } = parseArgs({
  options: {
    arch: { type: 'string', default: ownArchitecture },
    to: { type: 'string', default: join(root, 'dist') },
    executable: { type: 'string' },
    quick: { type: 'boolean', default: false },
  },
})
const target = targets[systems[given.arch] ?? '']
if (target === undefined)
  throw new Error(`--arch must be ${Object.keys(systems).join(' or ')}, not ${given.arch}`)

// The package's files are as the modes below say, whatever the umask of who builds it.
process.umask(0o022)
mkdirSync(given.to, { recursive: true })
const tree = mkdtempSync(join(given.to, '.deb-'))
try {
  await installFiles()
  writeControl()
  const file = resolve(given.to, `kvist_${manifest.version}_${given.arch}.deb`)
  const compression = given.quick ? ['-Znone'] : ['-Zxz', '-z6']
  run(['dpkg-deb', '--root-owner-group', ...compression, '--build', tree, file])
  console.log(`${relative(process.cwd(), file)}: ${(statSync(file).size / 1e6).toFixed(0)} MB`)
} finally {
  rmSync(tree, { recursive: true, force: true })
}

async function installFiles(): Promise<void> {
  const date = new Date(Number(process.env.SOURCE_DATE_EPOCH ?? Date.now() / 1000) * 1000)
  chmodSync(tree, 0o755)
  if (given.executable === undefined) await buildExecutable(join(tree, 'usr/bin/kvist'), target)
  else install('usr/bin/kvist', readFileSync(given.executable), 0o755)
  install('usr/lib/systemd/system/kvist.service', unit())
  install('etc/kvist/kvist.env', readFileSync(join(sources, 'kvist.env')))
  install('etc/logrotate.d/kvist', readFileSync(join(sources, 'kvist.logrotate')))
  for (const [shell, path] of Object.entries(completions)) install(path, completionFor(shell))
  const page = await manPage(commands, manifest.version, date.toISOString().slice(0, 10))
  install('usr/share/man/man1/kvist.1.gz', gzipSync(page, { level: 9 }))
  install('usr/share/doc/kvist/copyright', copyright())
  install('usr/share/doc/kvist/third-party-notices.gz', gzipSync(await notices(), { level: 9 }))
  install('usr/share/lintian/overrides/kvist', readFileSync(join(sources, 'lintian-overrides')))
  install('usr/share/doc/kvist/changelog.gz', gzipSync(changelog(date), { level: 9 }))
  install('usr/share/doc/kvist/NEWS.md.gz', gzipSync(readFileSync(join(root, 'CHANGELOG.md')), { level: 9 }))
  for (const path of globSync('docs/*.md', { cwd: root }))
    install(`usr/share/doc/kvist/${path}`, readFileSync(join(root, path)))
}

function install(path: string, content: string | Uint8Array, mode = 0o644): void {
  const to = join(tree, path)
  mkdirSync(dirname(to), { recursive: true })
  writeFileSync(to, content)
  chmodSync(to, mode)
}

/** The unit of docs/deploy.md, with the user of the package in place of one that exists while the service runs. */
function unit(): string {
  const text = readFileSync(join(root, 'deploy/kvist.service'), 'utf8')
  return replaced(
    replaced(text, '/usr/local/bin/kvist', '/usr/bin/kvist'),
    'DynamicUser=yes',
    'User=kvist\nGroup=kvist',
  ).replace(
    '# A user of its own that exists while it runs, and two folders',
    '# A user of its own, and two folders',
  )
}

function replaced(text: string, from: string, to: string): string {
  if (!text.includes(from)) throw new Error(`deploy/kvist.service has no ${from}`)
  return text.replace(from, to)
}

function completionFor(shell: string): string {
  return run([join(root, 'bin/kvist'), 'completion'], { SHELL: `/usr/bin/${shell}` })
}

function copyright(): string {
  const [, , ...terms] = readFileSync(join(root, 'LICENSE'), 'utf8').trim().split('\n').slice(2)
  const lines = terms.map((line) => (line === '' ? ' .' : ` ${line}`))
  return `${readFileSync(join(sources, 'copyright'), 'utf8')}License: Expat\n${lines.join('\n')}\n`
}

/** The licences of what the executable has inside: Bun, and packages of npm. */
async function notices(): Promise<string> {
  const folder = mkdtempSync(join(given.to, '.bundle-'))
  try {
    return licencesOf(['bun', ...(await bundleServer(folder))])
  } finally {
    rmSync(folder, { recursive: true })
  }
}

function maintainer(): string {
  const { DEBFULLNAME: name = 'the kvist authors', DEBEMAIL: address = 'kvist@localhost' } = process.env
  return `${name} <${address}>`
}

function changelog(date: Date): string {
  const day = date.toUTCString().replace('GMT', '+0000')
  return `kvist (${manifest.version}) unstable; urgency=medium\n\n  * See NEWS.md.gz.\n\n -- ${maintainer()}  ${day}\n`
}

function writeControl(): void {
  const files = [...new Bun.Glob('**/*').scanSync({ cwd: tree, dot: true })]
  const bytes = files.reduce((sum, path) => sum + statSync(join(tree, path)).size, 0)
  const sums = files.toSorted().map((path) => {
    const digest = new Bun.CryptoHasher('md5').update(readFileSync(join(tree, path))).digest('hex')
    return `${digest}  ${path}\n`
  })
  const fields = {
    Package: 'kvist',
    Version: manifest.version,
    Architecture: given.arch,
    Maintainer: maintainer(),
    'Installed-Size': Math.ceil(bytes / 1024),
    Depends: `libc6 (>= ${newestGlibc()}), adduser, init-system-helpers (>= 1.54~)`,
    Suggests: 'bash-completion, logrotate',
    Section: 'database',
    Priority: 'optional',
    Description:
      'key-value store that speaks HTTP\n' +
      ' kvist keeps JSON, text and bytes under keys. Any HTTP client can store, list,\n' +
      ' filter and watch them, let them expire, and change many of them together.\n' +
      ' What it has acknowledged is on the disk. One program has the server, the\n' +
      ' command line and the documentation of the API.',
  }
  const control = Object.entries(fields).map(([name, value]) => `${name}: ${value}\n`)
  install('DEBIAN/control', control.join(''))
  install('DEBIAN/conffiles', `${conffiles.join('\n')}\n`)
  install('DEBIAN/md5sums', sums.join(''))
  for (const name of ['postinst', 'prerm', 'postrm']) {
    cpSync(join(sources, name), join(tree, 'DEBIAN', name))
    chmodSync(join(tree, 'DEBIAN', name), 0o755)
  }
}

/** The newest version of the C library whose symbols the executable asks for. */
function newestGlibc(): string {
  const text = readFileSync(join(tree, 'usr/bin/kvist')).toString('latin1')
  const versions = [...text.matchAll(/\0GLIBC_(2\.\d+)(?:\.\d+)?(?=\0)/g)].map(([, version = '']) => version)
  return versions.reduce((a, b) => (Bun.semver.order(`${a}.0`, `${b}.0`) < 0 ? b : a))
}

function run(command: readonly string[], env: Readonly<Record<string, string>> = {}): string {
  const done = Bun.spawnSync([...command], { env: { ...process.env, ...env }, stderr: 'inherit' })
  if (!done.success) throw new Error(`${command[0]} ended with ${done.exitCode}`)
  return done.stdout.toString()
}
