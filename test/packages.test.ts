import { afterAll, beforeAll, expect, test } from 'bun:test'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import project from '../package.json' with { type: 'json' }
import { packages } from '../packages/packages.ts'
import { expectPages } from './support/served-pages.ts'
import { newFolder, startServer, type TestServer } from './support/server.ts'
import { outputOf, runToEnd } from './support/spawn.ts'

/** The packages as somebody has them who installs their tarballs, on Node, with the server that `npx kvist` starts. */

const root = join(import.meta.dir, '..')
const folder = newFolder()
const packedFolder = join(folder, 'packed')
const appFolder = join(folder, 'app')
const names = Object.keys(packages)
const tarball = (name: string) => join(packedFolder, `${name}-${project.version}.tgz`)

/** What ends the programs of the READMEs, which would go on; and what they print. */
const programs: Readonly<Record<string, readonly { readonly end: string; readonly prints: string }[]>> = {
  'kvist-keyv': [{ end: '', prints: '{ visits: 1 }\n' }],
  'kvist-unstorage': [{ end: '', prints: "{ title: 'Hello' }\n[ 'drafts:first' ]\n" }],
  'kvist-session': [
    {
      end: `await new Promise((resolve) => server.once('listening', resolve))
        console.log(await (await fetch('http://127.0.0.1:' + server.address().port)).text())
        server.close()`,
      prints: 'visit 1\n',
    },
    { end: "console.log((await app.inject('/')).body)\nawait app.close()", prints: 'visit 1\n' },
  ],
}

/** What the tests need beside the tarballs, in the versions of this project. */
const needed = [
  '@fastify/cookie',
  '@fastify/session',
  '@keyv/test-suite',
  '@types/express-session',
  'express',
  'express-session',
  'fastify',
  'keyv',
  'keyv-6',
  'unstorage',
] as const

let server: TestServer

beforeAll(async () => {
  await outputOf([process.execPath, '--no-env-file', 'scripts/pack.ts', packedFolder], { cwd: root })
  mkdirSync(appFolder)
  const { devDependencies, overrides } = project
  const manifest = {
    private: true,
    type: 'module',
    dependencies: {
      ...Object.fromEntries(names.map((name) => [name, `file:${tarball(name)}`])),
      ...Object.fromEntries(needed.map((name) => [name, devDependencies[name]])),
    },
    overrides,
  }
  writeFileSync(join(appFolder, 'package.json'), JSON.stringify(manifest))
  // Nothing that is installed needs a script to be run.
  const flags = ['--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund']
  await outputOf(['npm', 'install', ...flags], { cwd: appFolder })
  server = await startServer({ command: [join(appFolder, 'node_modules/.bin/kvist'), 'serve'] })
})
afterAll(async () => {
  await server?.stop()
  await server?.remove()
  rmSync(folder, { recursive: true, force: true })
})

/** Runs a program in the application, with Node. */
async function runOnNode(file: string, text: string, flags: readonly string[] = []): Promise<string> {
  writeFileSync(join(appFolder, file), text)
  const env = { PATH: process.env.PATH, HOME: process.env.HOME, KVIST_URL: server.url }
  const { exitCode, stdout, stderr } = await runToEnd(['node', ...flags, file], { cwd: appFolder, env })
  if (exitCode !== 0) throw new Error(stdout + stderr)
  return stdout
}

/** Runs the tests of a file of test/packages, and returns how many there were. */
async function passing(file: string): Promise<number> {
  const text = readFileSync(join(import.meta.dir, 'packages', file), 'utf8')
  const output = await runOnNode(file, text, ['--test', '--test-reporter=tap'])
  return Number(/^# pass (\d+)$/m.exec(output)?.[1])
}

function manifestIn(name: string) {
  return JSON.parse(readFileSync(join(packedFolder, name, 'package.json'), 'utf8'))
}

test('names and versions are those of one table and of this project', () => {
  const sources = readdirSync(join(root, 'packages'), { withFileTypes: true })
  const folders = sources.filter((entry) => entry.isDirectory()).map((entry) => entry.name)
  expect(folders.toSorted()).toEqual(names.filter((name) => name !== 'kvist-client').toSorted())
  for (const name of names) {
    expect(existsSync(tarball(name))).toBe(true)
    const { version, license, engines, dependencies = {}, optionalDependencies = {} } = manifestIn(name)
    expect({ name: manifestIn(name).name, version, license, engines }).toEqual({
      name,
      version: project.version,
      license: project.license,
      engines: project.engines,
    })
    for (const [own, range] of Object.entries(dependencies)) {
      expect(names).toContain(own)
      expect(range).toBe(`^${project.version}`)
    }
    expect([...new Set(Object.values(optionalDependencies))]).toEqual(
      name === 'kvist' ? [project.dependencies.bun] : [],
    )
    if (name !== 'kvist-client')
      expect(readFileSync(join(packedFolder, name, 'README.md'), 'utf8')).toStartWith(`# ${name}\n`)
  }
})

test('the server is small, and nothing of development is in it', () => {
  const files = readdirSync(join(packedFolder, 'kvist'), { recursive: true, encoding: 'utf8' })
  const strange = files.filter(
    (path) =>
      !/^(bin(\/kvist\.mjs)?|dist(\/[\w.-]+\.(js|css|pack))?|LICENSE|README\.md|THIRD-PARTY-LICENSES|package\.json)$/.test(
        path,
      ),
  )
  expect(strange).toEqual([])
  expect(Bun.file(tarball('kvist')).size).toBeLessThan(2_500_000)
  const licences = readFileSync(join(packedFolder, 'kvist/THIRD-PARTY-LICENSES'), 'utf8')
  for (const inside of ['pino', 'yargs', 'eld', 'swagger-ui-dist', 'prom-client'])
    expect(licences).toMatch(new RegExp(`^${inside} \\d`, 'm'))
  expect(licences).toMatch(/^## svelte - \d/m)
})

test('a terminal starts it with npx, and ends it by Ctrl-C', async () => {
  const env = { PATH: process.env.PATH, HOME: process.env.HOME }
  const child = Bun.spawn(['npx', 'kvist', 'serve', '--port', '0', '--data', join(folder, 'data')], {
    cwd: appFolder,
    env,
    // A terminal sends its signals to a group of processes.
    detached: true,
    stdout: 'pipe',
    stderr: 'inherit',
  })
  const endAll = (signal: NodeJS.Signals) => process.kill(-child.pid, signal)
  try {
    let output = ''
    for await (const part of child.stdout.pipeThrough(new TextDecoderStream())) {
      output += part
      const url = /"url":"([^"]+)"/.exec(part)?.[1]
      if (url === undefined) continue
      const inApp = { cwd: appFolder, env: { ...env, KVIST_URL: url } }
      await outputOf(['npx', 'kvist', 'put', 'greeting', 'hello'], inApp)
      expect(await outputOf(['npx', 'kvist', 'get', 'greeting'], inApp)).toBe('"hello"')
      await expectPages(url)
      endAll('SIGINT')
    }
    // The output has ended, so no process is left.
    expect(output).toContain('"message":"stopped"')
  } finally {
    if (child.exitCode === null) endAll('SIGKILL')
  }
  await child.exited
})

test('the server ends with the process that started it, and a missing runtime is named', async () => {
  const launcher = join(appFolder, 'node_modules/.bin/kvist')
  const short = await startServer({ command: [launcher, 'serve'] })
  try {
    // Node 20 cannot become another program: kvist is its child.
    await short.crash()
    await expect(fetch(`${short.url}/healthz`)).rejects.toThrow()
  } finally {
    await short.remove()
  }
  const copy = join(folder, 'alone/bin/kvist.mjs')
  mkdirSync(join(copy, '..'), { recursive: true })
  copyFileSync(join(packedFolder, 'kvist/bin/kvist.mjs'), copy)
  const { exitCode, stderr } = await runToEnd(['node', copy, '--version'])
  expect(exitCode).toBe(1)
  expect(stderr).toMatch(/^kvist: @oven\/bun-\S+ is not installed: install kvist without --omit=optional/)
})

test('its worker threads start: processes, backups, and what brings the log to the tables', async () => {
  const launcher = join(appFolder, 'node_modules/.bin/kvist')
  writeFileSync(
    join(appFolder, 'kvist.config.mjs'),
    `export default { collections: {
      loud: { processes: ['./loud.mjs'] }, texts: { processes: ['detect-language'] } } }`,
  )
  writeFileSync(
    join(appFolder, 'loud.mjs'),
    `export default { name: 'loud', run: (member) => ({ ...member, value: member.value.toUpperCase() }) }`,
  )
  const dataFolder = join(folder, 'worker-data')
  const config = join(appFolder, 'kvist.config.mjs')
  const busy = await startServer({ command: [launcher, 'serve'], dataFolder, flags: ['--config', config] })
  try {
    const put = (path: string, body: string) => fetch(`${busy.url}/v1/${path}`, { method: 'PUT', body })
    expect((await put('loud/a', '"hello"')).status).toBe(201)
    expect(await (await fetch(`${busy.url}/v1/loud/a`)).text()).toBe('"HELLO"')
    expect((await put('texts/a', '{"value": "Das ist ein Satz auf Deutsch."}')).status).toBe(201)
    expect(await (await fetch(`${busy.url}/v1/texts/a`)).json()).toMatchObject({ lang: 'de' })
    const backup = await fetch(`${busy.url}/v1/_backup`)
    expect(backup.status).toBe(200)
    expect((await backup.bytes()).length).toBeGreaterThan(100)
    // More than a segment of the log.
    const value = 'x'.repeat(1024 * 1024)
    const lines = Array.from({ length: 80 }, (_, i) => JSON.stringify({ key: `k${i}`, value }))
    const headers = { 'content-type': 'application/x-ndjson' }
    await fetch(`${busy.url}/v1/large`, { method: 'POST', headers, body: lines.join('\n') })
    expect(await busy.stop()).toBe(0)
    expect(busy.output()).not.toContain('"level":"error"')
    expect(readdirSync(dataFolder).filter((name) => name.startsWith('log-'))).toEqual([])
  } finally {
    await busy.remove()
  }
})

test('Keyv passes its own suite', async () => {
  expect(await passing('keyv.mjs')).toBeGreaterThan(45)
})

test('unstorage works as documented', async () => {
  expect(await passing('unstorage.mjs')).toBe(14)
})

test('sessions of Express and Fastify', async () => {
  expect(await passing('express.mjs')).toBe(4)
  expect(await passing('fastify.mjs')).toBe(3)
})

test('the programs of the READMEs do what they say', async () => {
  for (const [name, expected] of Object.entries(programs)) {
    const text = readFileSync(join(packedFolder, name, 'README.md'), 'utf8')
    const blocks = [...text.matchAll(/^```js\n(.*?)^```$/gms)].map(([, code = '']) => code)
    expect(blocks.length).toBe(expected.length)
    for (const [i, { end, prints }] of expected.entries()) {
      const code = blocks[i]
        ?.replaceAll('http://127.0.0.1:7070', server.url)
        .replace('listen(3000)', 'listen(0)')
      const program = `${code?.replace('port: 3001', 'port: 0')}${end}`
      expect(await runOnNode(`readme-${i}.mjs`, program)).toBe(prints)
    }
  }
})

test('their types are those that a program in Node sees', () => {
  const program = `
    import { Kvist } from 'kvist-client'
    import { KvistKeyv } from 'kvist-keyv'
    import { KvistExpressStore } from 'kvist-session/express'
    import { KvistFastifyStore } from 'kvist-session/fastify'
    import { kvistDriver } from 'kvist-unstorage'
    import type { SessionStore } from '@fastify/session'
    import type { Store } from 'express-session'
    import { Keyv, type KeyvStoreAdapter } from 'keyv'
    import { createStorage } from 'unstorage'

    const url = new Kvist('http://127.0.0.1:7070').url
    // Keyv 5 returns what setMany resolves with, and declares that this is nothing.
    const adapter: Omit<KeyvStoreAdapter, 'setMany'> = new KvistKeyv(url, { collection: 'cache', token: 't' })
    new Keyv<string>({ store: adapter })
    createStorage<string>({ driver: kvistDriver({ url }) })
    const express: Store = new KvistExpressStore({ url, ttl: 60 })
    const fastify: SessionStore = new KvistFastifyStore({ url })
    export { express, fastify }`
  expect(compile(program)).toBe('')
  expect(compile(program.replace('ttl: 60', "ttl: '60'"))).toContain("'string' is not assignable")
})

function compile(program: string): string {
  writeFileSync(join(appFolder, 'types.ts'), program)
  const settings = ['--ignoreConfig', '--strict', '--noEmit', '--target', 'es2023', '--module', 'nodenext']
  const libraries = ['--skipLibCheck', '--types', 'node', '--typeRoots', join(root, 'node_modules/@types')]
  const command = [join(root, 'node_modules/.bin/tsc'), ...settings, ...libraries, 'types.ts']
  const done = Bun.spawnSync(command, { cwd: appFolder })
  return done.stdout.toString() + done.stderr.toString()
}
