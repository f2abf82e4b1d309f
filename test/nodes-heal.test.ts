import { afterEach, expect, test } from 'bun:test'
import { cpSync, rmSync } from 'node:fs'
import { Kvist } from '../sdk/client.ts'
import { until } from './support/engine.ts'
import { kvistProgram, newFolder, startServer, type TestServer } from './support/server.ts'
import { runToEnd } from './support/spawn.ts'

/** Servers that heal their targets: real processes, and real copies of their folders. */

const folders: string[] = []
const running: TestServer[] = []
afterEach(async () => {
  for (const server of running.splice(0)) await server.remove()
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

function folder(): string {
  const made = newFolder()
  folders.push(made)
  return made
}

async function start(dataFolder: string, ...flags: readonly string[]): Promise<TestServer> {
  const server = await startServer({ dataFolder, flags })
  running.push(server)
  return server
}

const put = async ({ url }: TestServer, key: string, value: unknown) => {
  const response = await fetch(`${url}/v1/c/${key}`, { method: 'PUT', body: JSON.stringify(value) })
  expect(response.ok).toBe(true)
}

const valueAt = async ({ url }: TestServer, key: string) => {
  const response = await fetch(`${url}/v1/c/${key}`)
  return response.ok ? await response.json() : response.status
}

const targetOf = async ({ url }: TestServer) => (await new Kvist(url).nodes.status()).targets[0]!

async function current(server: TestServer): Promise<void> {
  await until(async () => {
    const { state, lag_changes: lag } = await targetOf(server)
    return state === 'current' && lag === 0
  }, 'the target is current')
}

async function same(a: TestServer, b: TestServer): Promise<void> {
  const ended = await runToEnd([kvistProgram, 'nodes', 'compare', a.url, b.url], {
    env: { PATH: process.env.PATH ?? '' },
  })
  expect([ended.exitCode, ended.stdout]).toEqual([0, ''])
}

test('what was healed is shown, and in the metrics', async () => {
  const b = await start(folder())
  await put(b, 'of b', 1)
  const a = await start(folder(), '--mirror-to', b.url, '--heal-every', '1s')
  for (let i = 0; i < 20; i++) await put(a, `k${i}`, i)
  await until(async () => ((await targetOf(a)).heal?.runs ?? 0) > 0, 'a run has ended')
  expect((await targetOf(a)).heal).toMatchObject({ undecided: 0, failures: 0, last_error: null })
  // A mirror goes one way.
  expect(await valueAt(a, 'of b')).toBe(404)
  const metrics = await (await fetch(`${a.url}/metrics`)).text()
  expect(metrics).toContain(`kvist_heal_undecided{target="${b.url}"} 0`)
  expect(metrics).toMatch(/kvist_heal_last_run_timestamp_seconds\{target="[^"]+"\} 1\d{9}/)
  const env = { PATH: process.env.PATH ?? '' }
  const { stdout } = await runToEnd([kvistProgram, 'nodes', '--url', a.url], { env })
  expect(stdout.split('\n')[1]).toMatch(/^http:\S+\t20\S+\t\d+\t0\t-$/)
})

test('a target whose folder is an older copy is mended, with the deletes that it missed', async () => {
  const [dataA, dataB, copy] = [folder(), folder(), folder()]
  let b = await start(dataB)
  const a = await start(dataA, '--mirror-to', b.url, '--heal-every', '1s')
  for (const key of ['same', 'old', 'deleted']) await put(a, key, 1)
  await current(a)
  const { port } = b
  await b.stop()
  cpSync(dataB, copy, { recursive: true })
  b = await start(dataB, '--port', `${port}`)
  await put(a, 'old', 2)
  await put(a, 'lacking', 1)
  await fetch(`${a.url}/v1/c/deleted`, { method: 'DELETE' })
  await current(a)
  await b.stop()
  rmSync(dataB, { recursive: true, force: true })
  cpSync(copy, dataB, { recursive: true })
  b = await start(dataB, '--port', `${port}`)
  expect(await valueAt(b, 'old')).toBe(1)
  await until(
    async () =>
      Bun.deepEquals(
        await Promise.all(['same', 'old', 'lacking', 'deleted'].map((key) => valueAt(b, key))),
        [1, 2, 1, 404],
      ),
    'it is mended',
  )
  await same(a, b)
  expect((await targetOf(a)).heal!.mended).toBeGreaterThanOrEqual(3)
})

test.each([
  [['--heal-every', '1h'], 'need a target'],
  [['--heal-every', '0s', '--mirror-to', 'http://127.0.0.1:9'], '--heal-every must be'],
  [['--heal-every', 'often', '--mirror-to', 'http://127.0.0.1:9'], '--heal-every must be'],
])('%j is refused', async (flags, why) => {
  const { exitCode, stderr } = await runToEnd([kvistProgram, 'serve', '--data', folder(), ...flags])
  expect([exitCode, stderr]).toEqual([2, expect.stringContaining(why)])
})

/** Starts a mirror, and puts a copy of the target's folder back that lacks the last writes. Returns the servers. */
async function restoredTarget(between: (a: TestServer) => Promise<void>): Promise<[TestServer, TestServer]> {
  const [dataA, dataB, copy] = [folder(), folder(), folder()]
  let b = await start(dataB)
  const a = await start(dataA, '--mirror-to', b.url)
  for (const key of ['same', 'old', 'deleted']) await put(a, key, 1)
  await current(a)
  const { port } = b
  await b.stop()
  cpSync(dataB, copy, { recursive: true })
  b = await start(dataB, '--port', `${port}`)
  await put(a, 'old', 2)
  await put(a, 'lacking', 1)
  await fetch(`${a.url}/v1/c/deleted`, { method: 'DELETE' })
  await current(a)
  // An ordinary restart of the target is none of these.
  await b.stop()
  b = await start(dataB, '--port', `${port}`)
  await put(a, 'again', 1)
  await current(a)
  await until(async () => (await valueAt(b, 'again')) === 1, 'it is there')
  expect((await targetOf(a)).setbacks).toBe(0)
  await b.stop()
  rmSync(dataB, { recursive: true, force: true })
  cpSync(copy, dataB, { recursive: true })
  await between(a)
  return [a, await start(dataB, '--port', `${port}`)]
}

const isMended = async (b: TestServer) => {
  const values = await Promise.all(
    ['same', 'old', 'lacking', 'again', 'deleted'].map((key) => valueAt(b, key)),
  )
  return Bun.deepEquals(values, [1, 2, 1, 1, 404])
}

test('a target that is put back from an older copy is noticed without a heal, whether there is something to send or not', async () => {
  const [a, b] = await restoredTarget(async () => {})
  await until(() => isMended(b), 'it is mended')
  await same(a, b)
  expect(await targetOf(a)).toMatchObject({ setbacks: 1, heal: null })
  expect(a.output()).toContain('the target has less than it had')
  const metrics = await (await fetch(`${a.url}/metrics`)).text()
  expect(metrics).toContain(`kvist_mirror_setbacks_total{target="${b.url}"} 1`)
})

test('a target that is put back while clients write at both has everything, and more changes than it had do not hide it', async () => {
  const [a, b] = await restoredTarget(async (emitter) => {
    await put(emitter, 'meanwhile', 1)
  })
  for (let i = 0; i < 50; i++) await put(b, `b${i}`, i)
  await until(async () => (await isMended(b)) && (await valueAt(b, 'meanwhile')) === 1, 'it is mended')
  expect((await targetOf(a)).setbacks).toBe(1)
})

test('an emitter that is killed, or put back from an older copy, goes on from where it is', async () => {
  const [dataA, dataB, copy] = [folder(), folder(), folder()]
  const b = await start(dataB)
  let a = await start(dataA, '--mirror-to', b.url)
  await put(a, 'k', 1)
  await current(a)
  const { port } = a
  await a.stop()
  cpSync(dataA, copy, { recursive: true })
  a = await start(dataA, '--mirror-to', b.url, '--port', `${port}`)
  for (let i = 0; i < 20; i++) await put(a, `l${i}`, i)
  await current(a)
  await a.crash()
  a = await start(dataA, '--mirror-to', b.url, '--port', `${port}`)
  await put(a, 'k', 2)
  await until(async () => (await valueAt(b, 'k')) === 2, 'it is there')
  expect((await targetOf(a)).setbacks).toBe(0)
  await a.crash()
  rmSync(dataA, { recursive: true, force: true })
  cpSync(copy, dataA, { recursive: true })
  a = await start(dataA, '--mirror-to', b.url, '--port', `${port}`, '--heal-every', '1s')
  await put(a, 'k', 3)
  await until(async () => (await valueAt(b, 'k')) === 3, 'it is there')
  // What it lost comes back from the target.
  await until(async () => (await valueAt(a, 'l19')) === 19, 'it is back')
  await same(a, b)
})
