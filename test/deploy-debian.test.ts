import { expect } from 'bun:test'
import { chmodSync, cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import manifest from '../package.json' with { type: 'json' }
import { builtExecutable } from './support/build.ts'
import { type DebianRoot, openDebianRoot } from './support/debian-root.ts'
import { needing } from './support/needs.ts'
import { newFolder } from './support/server.ts'
import { outputOf } from './support/spawn.ts'

/**
 * The Debian package from its installation to its end, in a root of its own: this machine's, of which nothing is changed. `npm run
 * test:deb` does the same in one that has the essential packages of Debian alone, and builds the package for arm64 too.
 */

const isClean = process.env.KVIST_TEST_CLEAN_ROOT === '1'
const { test, beforeAll, afterAll } = needing('overlay', 'adduser')

const root = join(import.meta.dir, '..')
const folder = newFolder()
const version = manifest.version
let debian: DebianRoot

// That of an administrator; a server that another test ran in this process has left its own.
const umask = process.umask()
beforeAll(async () => {
  process.umask(0o022)
  chmodSync(folder, 0o755)
  await build(...(builtExecutable === undefined ? [] : ['--executable', builtExecutable]))
  debian = await openDebianRoot(folder, isClean)
})
afterAll(async () => {
  process.umask(umask)
  await debian.remove()
  rmSync(folder, { recursive: true, force: true })
})

function build(...args: readonly string[]): Promise<string> {
  const command = [
    process.execPath,
    '--no-env-file',
    'scripts/build-deb.ts',
    '--quick',
    '--to',
    folder,
    ...args,
  ]
  return outputOf(command, { cwd: root })
}

function packageFile(architecture = 'amd64', of = version): string {
  return join(folder, `kvist_${of}_${architecture}.deb`)
}

/** A package that upgrades the one that is built: of a later version, with other settings as they come, and a small program. */
async function buildLaterVersion(): Promise<string> {
  const tree = join(folder, 'later')
  await outputOf(['dpkg-deb', '--raw-extract', packageFile(), tree])
  const edit = (path: string, change: (text: string) => string) =>
    writeFileSync(join(tree, path), change(readFileSync(join(tree, path), 'utf8')))
  edit('DEBIAN/control', (text) => text.replace(`Version: ${version}`, 'Version: 99.0'))
  edit('etc/kvist/kvist.env', (text) => `${text}\n# later\n`)
  writeFileSync(join(tree, 'usr/bin/kvist'), '#!/bin/sh\necho kvist 99.0\n')
  await outputOf(['dpkg-deb', '--root-owner-group', '-Znone', '--build', tree, packageFile('amd64', '99.0')])
  return '/shared/kvist_99.0_amd64.deb'
}

function dpkg(...args: readonly string[]): Promise<string> {
  return debian.run('dpkg', '--no-triggers', ...args)
}

/** Whether a path is there, and its kind, mode and owner. */
async function about(path: string): Promise<string> {
  return (await debian.run('sh', '-c', `stat -c '%F %a %U' '${path}' 2>/dev/null || echo none`)).trim()
}

const enabled = '/etc/systemd/system/multi-user.target.wants/kvist.service'

test('the package owns its files as root, and names what an upgrade leaves alone', async () => {
  const lines = (await outputOf(['dpkg-deb', '--contents', packageFile()])).trim().split('\n')
  const paths = lines.map((line) => line.split(/\s+/).at(-1))
  for (const line of lines) expect(line).toMatch(/^[-d]rw(x|-)r-(x|-)r-(x|-) root\/root /)
  for (const path of ['usr/bin/kvist', 'usr/share/man/man1/kvist.1.gz', 'usr/share/doc/kvist/docs/cli.md'])
    expect(paths).toContain(`./${path}`)
  expect(await outputOf(['dpkg-deb', '--info', packageFile(), 'conffiles'])).toBe(
    '/etc/kvist/kvist.env\n/etc/logrotate.d/kvist\n',
  )
  const field = (name: string) => outputOf(['dpkg-deb', '--field', packageFile(), name])
  expect(await field('Version')).toBe(`${version}\n`)
  expect(await field('Depends')).toMatch(/^libc6 \(>= 2\.\d+\), adduser, /)
})

test('installed, it has a user, a token that root alone may read, a folder for its data, and a service', async () => {
  await dpkg('--install', `/shared/kvist_${version}_amd64.deb`)
  expect(await debian.run('kvist', '--version')).toBe(`kvist ${version}\n`)
  expect(await debian.run('id', '-un', 'kvist')).toBe('kvist\n')
  expect(await about('/etc/kvist/token')).toBe('regular file 600 root')
  expect(await debian.run('cat', '/etc/kvist/token')).toMatch(/^[0-9a-f]{64}$/)
  for (const path of ['/var/lib/kvist', '/var/log/kvist'])
    expect(await about(path)).toBe('directory 700 kvist')
  expect(await about(enabled)).toStartWith('symbolic link')
  expect(await debian.run('dpkg', '--verify', 'kvist')).toBe('')
})

test('bash, zsh and fish complete', async () => {
  const script = `source /usr/share/bash-completion/completions/kvist
    COMP_WORDS=(kvist tok) COMP_CWORD=1; _kvist_yargs_completions; echo "\${COMPREPLY[*]}"`
  expect(await debian.run('bash', '-c', script)).toBe('token\n')
  expect(await debian.run('cat', '/usr/share/zsh/vendor-completions/_kvist')).toStartWith('#compdef kvist\n')
  expect(await debian.run('cat', '/usr/share/fish/vendor_completions.d/kvist.fish')).toContain(
    'complete -f -c kvist',
  )
})

test('it says under which licences its parts are', async () => {
  const notices = await debian.run('sh', '-c', 'zcat /usr/share/doc/kvist/third-party-notices.gz')
  for (const name of ['bun', 'pino', 'zod'])
    expect(notices).toMatch(new RegExp(`^${name} \\d+\\.\\d+\\.\\d+ \\(`, 'm'))
  const copyright = await debian.run('cat', '/usr/share/doc/kvist/copyright')
  expect(copyright).toContain('Copyright: 2026 the kvist authors\nLicense: Expat\n')
  expect(copyright).toContain('Permission is hereby granted')
})

test('the manual has every command', async () => {
  const page = await debian.run('sh', '-c', 'zcat /usr/share/man/man1/kvist.1.gz')
  for (const line of ['.TH KVIST 1', '.SH KVIST SERVE', '.SH KVIST TOKEN CREATE', '.SH KVIST MCP'])
    expect(page).toContain(`${line}`)
  expect(page).toContain('.B \\-\\-memcached\\-port NUMBER')
})

/** The environment that the unit gives the service, with the files that systemd would prepare. */
async function environmentOfUnit(): Promise<string[]> {
  const unit = await debian.run('cat', '/usr/lib/systemd/system/kvist.service')
  expect(unit).toContain('\nExecStart=/usr/bin/kvist serve\n')
  expect(unit).toContain('\nUser=kvist\nGroup=kvist\n')
  expect(unit).not.toContain('DynamicUser')
  await debian.run('install', '-D', '-m', '400', '-o', 'kvist', '/etc/kvist/token', '/run/credentials/token')
  return [...unit.matchAll(/^Environment=(.+)$/gm)].flatMap(([, settings = '']) =>
    settings.replaceAll('%S', '/var/lib').replaceAll('%d', '/run/credentials').split(' '),
  )
}

test('it serves as its user, with the environment of its unit', async () => {
  const env = [...(await environmentOfUnit()), 'KVIST_PORT=0']
  const command = debian.command(['env', ...env, 'kvist', 'serve'], 'kvist')
  const service = Bun.spawn(command, { stdin: 'ignore', stdout: 'pipe', stderr: 'inherit' })
  const token = await debian.run('cat', '/etc/kvist/token')
  try {
    const url = await urlOf(service.stdout)
    const init = { method: 'PUT', body: '1', headers: { authorization: `Bearer ${token}` } }
    expect((await fetch(`${url}/v1/c/k`, { ...init, headers: {} })).status).toBe(401)
    expect((await fetch(`${url}/v1/c/k`, init)).status).toBe(201)
  } finally {
    service.kill('SIGTERM')
    await service.exited
  }
  expect(await about('/var/lib/kvist/kvist.db')).toBe('regular file 600 kvist')
})

async function urlOf(stdout: ReadableStream<Uint8Array>): Promise<string> {
  let said = ''
  for await (const part of stdout) {
    said += new TextDecoder().decode(part)
    const url = /"url":"([^"]+)"/.exec(said)?.[1]
    if (url !== undefined) return url
  }
  throw new Error(`kvist ended: ${said}`)
}

test('an upgrade keeps settings, token, data, and that the service is disabled', async () => {
  const settings = '# settings of the administrator\nKVIST_PORT=7171\n'
  await debian.run('sh', '-c', `printf '${settings.replaceAll('\n', '\\n')}' > /etc/kvist/kvist.env`)
  const token = await debian.run('cat', '/etc/kvist/token')
  await debian.run('rm', enabled) // as systemctl disable does
  await dpkg('--force-confdef', '--force-confold', '--install', await buildLaterVersion())
  expect(await debian.run('kvist', '--version')).toBe('kvist 99.0\n')
  expect(await debian.run('cat', '/etc/kvist/kvist.env')).toBe(settings)
  expect(await debian.run('cat', '/etc/kvist/kvist.env.dpkg-dist')).toContain('# later')
  expect(await debian.run('cat', '/etc/kvist/token')).toBe(token)
  expect(await about('/var/lib/kvist/kvist.db')).toBe('regular file 600 kvist')
  expect(await about(enabled)).toBe('none')
})

test('removed, it leaves settings and data, from which it is installed again; purged, it leaves its user alone', async () => {
  await dpkg('--remove', 'kvist')
  expect(await about('/usr/bin/kvist')).toBe('none')
  for (const path of ['/etc/kvist/token', '/etc/kvist/kvist.env', '/var/lib/kvist/kvist.db'])
    expect([path, await about(path)]).toEqual([path, expect.stringContaining('regular file')])
  await dpkg('--install', '/shared/kvist_99.0_amd64.deb')
  expect(await about('/var/lib/kvist/kvist.db')).toBe('regular file 600 kvist')

  await dpkg('--purge', 'kvist')
  const files = (await outputOf(['dpkg-deb', '--contents', packageFile()])).matchAll(/^-.* \.(\/\S+)$/gm)
  const paths = [...Array.from(files, ([, path = '']) => path), '/var/lib/kvist', '/var/log/kvist']
  const left = `find /etc /var/lib -xdev -name '*kvist*'; ls -d ${paths.join(' ')} 2>/dev/null || true`
  expect(await debian.run('sh', '-c', left)).toBe('')
  expect(await debian.run('id', '-un', 'kvist')).toBe('kvist\n')
  expect(await debian.run('sh', '-c', 'dpkg-query --show kvist 2>&1 || true')).toContain('no packages found')
})

if (isClean) {
  test('the package for arm64 has an executable for it', async () => {
    await build('--arch', 'arm64')
    expect(await outputOf(['dpkg-deb', '--field', packageFile('arm64'), 'Architecture'])).toBe('arm64\n')
    await outputOf(['dpkg-deb', '--extract', packageFile('arm64'), join(folder, 'arm64')])
    const head = readFileSync(join(folder, 'arm64/usr/bin/kvist')).subarray(0, 20)
    expect([head.toString('latin1', 1, 4), head.readUInt16LE(18)]).toEqual(['ELF', 183])
  })

  needing('lintian').test(
    'lintian finds nothing but the address, which is for whoever publishes it, and that tests do not compress',
    async () => {
      const found = await outputOf(['lintian', '--allow-root', '--fail-on', 'none', packageFile()])
      expect(
        found.split('\n').filter((line) => line !== '' && !/bogus-mail-host|uses-no-compression/.test(line)),
      ).toEqual([])
    },
  )
} else {
  needing('systemd').test('systemd understands its unit, and finds it well protected', async () => {
    const copy = join(folder, 'unit')
    cpSync(join(folder, 'later/usr/lib/systemd/system/kvist.service'), join(copy, 'kvist.service'))
    const unit = join(copy, 'kvist.service')
    const security = ['systemd-analyze', '--no-pager', 'security', '--offline=true', '--threshold=13', unit]
    await outputOf(security)
  })
}
