import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import manifest from '../package.json' with { type: 'json' }
import { buildSdk } from './support/build.ts'
import { newFolder, startServer } from './support/server.ts'
import { runToEnd } from './support/spawn.ts'

/** The package of the client, as somebody has it who installs it: its files, its types, and the tour of its README. */

const root = join(import.meta.dir, '..')
const folder = newFolder()
const packageFolder = join(folder, 'node_modules/kvist-client')
beforeAll(() => buildSdk(packageFolder))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** The blocks of code, as one program. */
function tour(): string {
  const text = readFileSync(join(packageFolder, 'README.md'), 'utf8')
  return [...text.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code]) => code).join('\n')
}

function compile(options: readonly string[], program: string): string {
  writeFileSync(join(folder, 'main.ts'), program)
  const tsc = join(root, 'node_modules/.bin/tsc')
  const settings = ['--ignoreConfig', '--strict', '--noEmit', '--target', 'es2023', ...options]
  const done = Bun.spawnSync([tsc, ...settings, 'main.ts'], { cwd: folder })
  return done.stdout.toString() + done.stderr.toString()
}

test('it is one module with its types, of this version', () => {
  const code = readdirSync(packageFolder).filter((name) => /\.[cm]?jsx?$/.test(name))
  expect(code).toEqual(['client.js'])
  const { name, version, type, exports } = JSON.parse(
    readFileSync(join(packageFolder, 'package.json'), 'utf8'),
  )
  expect({ name, version, type }).toEqual({ name: 'kvist-client', version: manifest.version, type: 'module' })
  for (const path of Object.values<string>(exports['.']))
    expect(readdirSync(packageFolder)).toContain(path.replace('./', ''))
  expect(readFileSync(join(packageFolder, 'client.js'), 'utf8')).not.toMatch(/^import |\brequire\(|node:/m)
})

test('its types are those that a program for browsers or for Node sees, checked to the ground', () => {
  const web = ['--types', '', '--lib', 'es2023,dom,dom.iterable,dom.asynciterable']
  expect(compile([...web, '--module', 'preserve', '--moduleResolution', 'bundler'], tour())).toBe('')
  mkdirSync(join(folder, 'node_modules/@types'), { recursive: true })
  symlinkSync(join(root, 'node_modules/@types/node'), join(folder, 'node_modules/@types/node'))
  symlinkSync(join(root, 'node_modules/undici-types'), join(folder, 'node_modules/undici-types'))
  const node = ['--types', 'node', '--lib', 'es2023', '--module', 'nodenext']
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}')
  expect(compile(node, tour())).toBe('')
  expect(compile(node, `${tour()}\nawait users.put('eve', { name: 5 })\n`)).toContain(
    "'number' is not assignable",
  )
})

test('the tour of the README does what it says', async () => {
  const server = await startServer()
  try {
    const program = tour().replace('http://127.0.0.1:7070', server.url)
    const path = join(folder, 'tour.ts')
    writeFileSync(path, program)
    const command = [process.execPath, '--no-env-file', '--no-install', path]
    const { exitCode, stdout, stderr } = await runToEnd(command, { cwd: folder })
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' })
    expect(stdout.split('\n').map((line) => line.replace(/revision \d+/, 'revision N'))).toEqual([
      'Ada 1',
      'visit 2',
      'somebody was faster; it is at revision N',
      'visit 3',
      '0 unprocessable',
      'let in',
      '5000 0',
      'Person 1 null',
      'p4999 4999',
      'p4998 4998',
      'p4997 4997',
      ...Array.from({ length: 10 }, (_, i) => `p${i}`),
      'Person 4998',
      ...['{', '  name: "Ada",', '}', '{', '  name: "Carl",', '}'],
      '1 null',
      '[ "a.txt" ] [ "pictures/" ]',
      'bob delete',
      'ada is {',
      '  name: "Ada",',
      '  visits: 3,',
      '  city: "London",',
      '}',
      'carl-2 is {',
      '  name: "Carl",',
      '  visits: 1,',
      '}',
      'app, until revoked',
      'the token of "app" does not grant write on users/ada',
      '200',
      '',
    ])
  } finally {
    await server.remove()
  }
})
