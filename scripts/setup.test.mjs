import { afterAll, beforeAll, expect, test } from 'bun:test'
import { spawnSync } from 'node:child_process'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

/** scripts/setup.mjs in a checkout of its own, whose packages are folders: no registry is asked. */

const folder = mkdtempSync(join(tmpdir(), 'kvist-setup-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function write(path, content, mode) {
  mkdirSync(dirname(join(folder, path)), { recursive: true })
  writeFileSync(join(folder, path), typeof content === 'string' ? content : JSON.stringify(content), { mode })
}

/** Returns what the script says: nothing, if there was nothing to do. */
function setUp(...flags) {
  const done = spawnSync('node', [join(folder, 'scripts/setup.mjs'), ...flags], { encoding: 'utf8' })
  if (done.status !== 0) throw new Error(done.stdout + done.stderr)
  return done.stderr
}

const hasDev = () => existsSync(join(folder, 'node_modules/for-tests/package.json'))

beforeAll(() => {
  write('local/bun/package.json', { name: 'bun', version: '1.0.0' })
  // As large as a Bun that has been unpacked.
  write('local/bun/bin/bun.exe', `#!/bin/sh\nexit 0\n${'#'.repeat(1_000_000)}`, 0o755)
  write('local/for-tests/package.json', { name: 'for-tests', version: '1.0.0' })
  // Copies, as from a registry, not links.
  write('.npmrc', 'install-links=true\n')
  write('package.json', {
    name: 'checkout',
    version: '1.0.0',
    dependencies: { bun: 'file:local/bun' },
    devDependencies: { 'for-tests': 'file:local/for-tests' },
  })
  const locked = spawnSync('npm', ['install', '--package-lock-only', '--no-audit'], {
    cwd: folder,
    encoding: 'utf8',
  })
  if (locked.status !== 0) throw new Error(locked.stderr)
  mkdirSync(join(folder, 'scripts'))
  copyFileSync(join(import.meta.dir, 'setup.mjs'), join(folder, 'scripts/setup.mjs'))
})

test('serving installs what serving needs, tests add the rest, and serving leaves that where it is', () => {
  expect(setUp()).toContain('npm ci … done')
  expect(existsSync(join(folder, 'node_modules/bun/package.json'))).toBe(true)
  expect(hasDev()).toBe(false)
  expect(setUp()).toBe('')

  expect(setUp('--dev')).toContain('adding packages for development … done')
  expect(hasDev()).toBe(true)
  expect(setUp('--dev')).toBe('')

  expect(setUp()).toBe('')
  rmSync(join(folder, 'node_modules/.setup-stamp'))
  expect(setUp()).toBe('')
  expect(hasDev()).toBe(true)
})

test('the console is built when its sources are not those that it was built from', () => {
  const pack = join(folder, 'console/dist/console.pack')
  // In place of Bun: it builds what the builder says.
  const fakeBun = `#!/bin/sh\ncase "$2" in *build-console.ts) mkdir -p "${folder}/console/dist" && cp "${folder}/console/main.ts" "${pack}";; esac\n`
  write('node_modules/bun/bin/bun.exe', `${fakeBun}exit 0\n${'#'.repeat(1_000_000)}`, 0o755)
  write('scripts/build-console.ts', '')
  write('sdk/client.ts', '1')
  write('console/main.ts', 'first')
  expect(setUp()).toContain('building the console … done')
  expect(readFileSync(pack, 'utf8')).toBe('first')
  expect(setUp()).toBe('')
  for (const [path, text] of [
    ['console/main.ts', 'second'],
    ['sdk/client.ts', '2'],
    ['console/more.ts', ''],
  ]) {
    write(path, text)
    expect(setUp()).toContain('building the console … done')
    expect(setUp()).toBe('')
  }
  expect(readFileSync(pack, 'utf8')).toBe('second')
  write('sdk/client.test.ts', 'of no concern')
  expect(setUp()).toBe('')
  rmSync(pack)
  expect(setUp()).toContain('building the console … done')
})
