import { afterAll, beforeAll, expect, test } from 'bun:test'
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { buildExecutable } from './support/build.ts'
import { needing } from './support/needs.ts'
import { newFolder, startServer } from './support/server.ts'
import { runToEnd } from './support/spawn.ts'

/** The unit for systemd, as far as it can be judged where systemd does not run. */

const unit = readFileSync(join(import.meta.dir, '../deploy/kvist.service'), 'utf8')
const folder = newFolder()
const executable = join(folder, 'kvist')
/** The unit as it is installed, but for the place of the executable. */
const installed = join(folder, 'kvist.service')

/** Ten times the exposure that systemd-analyze may find: 9.6 is a unit without any protection. */
const maxExposure = 13
const nobody = '65534'

beforeAll(async () => {
  chmodSync(folder, 0o755)
  await buildExecutable(executable)
  writeFileSync(installed, unit.replace('/usr/local/bin/kvist', executable))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function analyze(...args: string[]) {
  return runToEnd(['systemd-analyze', '--no-pager', ...args])
}

needing('systemd').test('systemd understands every line of it', async () => {
  expect(await analyze('verify', installed)).toEqual({ stdout: '', stderr: '', exitCode: 0 })
})

needing('systemd').test('systemd finds it well protected', async () => {
  const found = await analyze('security', '--offline=true', `--threshold=${maxExposure}`, installed)
  expect(found).toMatchObject({ stderr: '', exitCode: 0 })
})

test('the variables that it sets and speaks of are those of kvist', async () => {
  const set = [...unit.matchAll(/^Environment=(KVIST_\w+)=/gm)].map(([, name = '']) => name)
  expect(set).toEqual(['KVIST_DATA', 'KVIST_TOKEN_FILE'])
  const help = Bun.spawnSync([executable, 'serve', '--help']).stdout.toString()
  for (const name of [...set, 'KVIST_TLS_CERT', 'KVIST_STOP_TIMEOUT']) expect(help).toContain(name)
})

test('unit and container pass the runtime the options of bin/kvist', () => {
  const settingsIn = (path: string) => {
    const text = readFileSync(join(import.meta.dir, '..', path), 'utf8')
    return [...text.matchAll(/\b(BUN_(?:JSC|CONFIG)_\w+)="?(?:\$\{\1:-)?(\d+)/g)].map(
      ([, name, value]) => `${name}=${value}`,
    )
  }
  const own = settingsIn('bin/kvist')
  expect(own).toHaveLength(3)
  for (const path of ['deploy/kvist.service', 'Dockerfile'])
    expect([path, settingsIn(path)]).toEqual([path, own])
})

/** Each of systemd's named sets with all that is in it. */
async function systemCallSets(): Promise<Map<string, Set<string>>> {
  const listed = new Map<string, string[]>()
  let current: string[] = []
  for (const line of (await analyze('syscall-filter')).stdout.split('\n')) {
    const word = line.trim()
    if (/^@[a-z-]+$/.test(line)) {
      current = []
      listed.set(line, current)
    } else if (/^[@a-z0-9_-]+$/.test(word)) current.push(word)
  }
  const all = (name: string): string[] =>
    name.startsWith('@') ? (listed.get(name) ?? []).flatMap(all) : [name]
  return new Map(Array.from(listed.keys(), (name) => [name, new Set(all(name))]))
}

/** The system calls that the unit allows: a line adds, or takes away when it begins with `~`. */
async function allowedCalls(): Promise<Set<string>> {
  const sets = await systemCallSets()
  let allowed = new Set<string>()
  for (const [, not, names = ''] of unit.matchAll(/^SystemCallFilter=(~?)(.*)$/gm)) {
    const meant = new Set(names.split(' ').flatMap((name) => [...(sets.get(name) ?? [name])]))
    allowed = not ? allowed.difference(meant) : allowed.union(meant)
  }
  return allowed
}

needing('strace', 'systemd').test('kvist makes no system call that the unit forbids', async () => {
  const position = join(folder, 'place')
  mkdirSync(position)
  chmodSync(position, 0o777)
  // As root SQLite gives files to others, which the unit forbids; the unit does not run it as root.
  const asUser =
    process.getuid?.() === 0 ? ['setpriv', `--reuid=${nobody}`, `--regid=${nobody}`, '--clear-groups'] : []
  const server = await startServer({
    command: [...asUser, 'strace', '-f', '-qq', '-o', join(position, 'trace'), executable, 'serve'],
    dataFolder: join(position, 'data'),
    flags: ['--memcached-port', '0'],
  })
  try {
    // More than a job of segments of the log, for the thread that writes the tables.
    const value = 'x'.repeat(256 * 1024)
    const members = Array.from({ length: 320 }, (_, i) => JSON.stringify({ key: `k${i}`, value }))
    const body = members.join('\n')
    await fetch(`${server.url}/v1/large`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson' },
      body,
    })
    for (const path of ['/v1/large?limit=3', '/v1/large/k7', '/metrics', '/docs/style.css', '/readyz']) {
      expect((await fetch(server.url + path)).status).toBe(200)
    }
    process.kill(childOf(server.pid), 'SIGTERM')
    expect(await server.exited).toBe(0)
  } finally {
    await server.remove()
  }
  const lines = readFileSync(join(position, 'trace'), 'latin1').split('\n')
  const made = new Set(lines.flatMap((line) => /^\d+\s+([a-z]\w*)\(/.exec(line)?.[1] ?? []))
  expect(made.size).toBeGreaterThan(30)
  const allowed = await allowedCalls()
  expect(allowed.size).toBeGreaterThan(200)
  expect([...made].filter((call) => !allowed.has(call))).toEqual([])
})

function childOf(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim())
}
