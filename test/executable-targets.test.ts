import { afterAll, expect, test } from 'bun:test'
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { version } from '../package.json' with { type: 'json' }
import { targetNames } from '../scripts/executable.ts'
import { newFolder, startServer } from './support/server.ts'
import { outputOf, runToEnd } from './support/spawn.ts'

/**
 * Executables for other systems. `npm test` checks what is refused; `npm run test:targets` builds all, with the runtimes
 * that it downloads, and starts those that can be started on Linux on x64.
 */

const root = join(import.meta.dir, '..')
const folder = newFolder()
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const build = (...args: readonly string[]) => [process.execPath, '--no-env-file', 'scripts/build.ts', ...args]

/** Where Debian's libc6-arm64-cross puts the loader and the C library of the other processor. */
const arm64Root = '/usr/aarch64-linux-gnu'
const emulator = ['qemu-aarch64-static', '-L', arm64Root]

/** How to start an executable here; null for those that cannot be. */
function starter(name: string): readonly string[] | null {
  if (name === 'linux-x64') return []
  // The musl one needs the C++ library of a musl system.
  if (name === 'linux-x64-musl') return existsSync('/usr/lib/libstdc++.so.6') ? [] : null
  return name === 'linux-arm64' ? emulator : null
}

/** What each begins with: the format, and the processor in it. */
const heads: Readonly<
  Record<string, { readonly magic: string; readonly at: number; readonly machine: string }>
> = {
  'linux-x64': { magic: '7f454c46', at: 18, machine: '3e00' },
  'linux-arm64': { magic: '7f454c46', at: 18, machine: 'b700' },
  'darwin-x64': { magic: 'cffaedfe', at: 4, machine: '07000001' },
  'darwin-arm64': { magic: 'cffaedfe', at: 4, machine: '0c000001' },
}

test('a target that there is not is refused with the list of those there are', async () => {
  for (const given of ['linux-x65', '', 'linux-x64,']) {
    const { exitCode, stderr } = await runToEnd(build('--target', given, '--to', folder), { cwd: root })
    expect({ exitCode, stderr }).toEqual({
      exitCode: 1,
      stderr: `build: there is no target "${given.split(',').at(-1)}": there are ${targetNames.join(', ')}, and all\n`,
    })
  }
  const { exitCode, stderr } = await runToEnd(build('--target', 'linux-x64', join(folder, 'one')), {
    cwd: root,
  })
  expect({ exitCode, stderr }).toEqual({
    exitCode: 1,
    stderr: `build: ${join(folder, 'one')} is one file: with --target give --to FOLDER\n`,
  })
  expect(readdirSync(folder)).toEqual([])
})

if (process.env.KVIST_TEST_TARGETS) {
  test('all are built for their processor, with checksums, and start where they can', async () => {
    await outputOf(build('--target', 'all', '--to', folder), { cwd: root })
    const files = targetNames.map(
      (name) => `kvist-${version}-${name}${name.startsWith('windows') ? '.exe' : ''}`,
    )
    expect(readdirSync(folder).toSorted()).toEqual([...files, 'SHA256SUMS'].toSorted())
    await outputOf(['sha256sum', '--check', '--strict', '--quiet', 'SHA256SUMS'], { cwd: folder })
    expect(readFileSync(join(folder, 'SHA256SUMS'), 'utf8').trimEnd().split('\n')).toHaveLength(files.length)

    for (const name of targetNames) {
      const path = join(folder, files[targetNames.indexOf(name)] ?? '')
      const start = starter(name)
      console.log(`${name}: ${start === null ? 'built' : 'built and started'}`)
      const head = Buffer.from(await Bun.file(path).slice(0, 64).arrayBuffer()).toString('hex')
      const expected = heads[name.replace('-musl', '')]
      if (expected === undefined) expect(head).toStartWith('4d5a')
      else
        expect([
          head.slice(0, 8),
          head.slice(expected.at * 2, expected.at * 2 + expected.machine.length),
        ]).toEqual([expected.magic, expected.machine])
      if (start !== null) await serves([...start, path])
    }
  })
}

/** Starts a server, writes and reads, and stops it as an operator would. */
async function serves(command: readonly string[]): Promise<void> {
  expect(await outputOf([...command, '--version'])).toBe(`kvist ${version}\n`)
  const server = await startServer({ command: [...command, 'serve'] })
  try {
    const url = `${server.url}/v1/users/ada`
    expect((await fetch(url, { method: 'PUT', body: '{"visits": 1.0}' })).status).toBe(201)
    expect(await (await fetch(url)).text()).toBe('{"visits": 1.0}')
    expect((await fetch(`${server.url}/docs/swagger-ui.css`)).status).toBe(200)
    expect(await server.stop()).toBe(0)
    expect(server.output()).not.toContain('"level":"error"')
  } finally {
    await server.remove()
  }
}
