import { afterEach, expect, test } from 'bun:test'
import { cpSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Kvist, type Listed } from '../sdk/client.ts'
import { until } from './support/engine.ts'
import { isLongRun } from './support/long-run.ts'
import { random, seedOfRun } from './support/random.ts'
import { kvistProgram, newFolder, startServer, type TestServer } from './support/server.ts'
import { runToEnd } from './support/spawn.ts'

/** Mirrors between processes, which die while clients write. */

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

async function start(dataFolder: string, flags: readonly string[] = []): Promise<TestServer> {
  const server = await startServer({ dataFolder, flags })
  running.push(server)
  return server
}

type Shown = Listed<unknown, 'all'>

async function membersOf({ url }: TestServer): Promise<readonly unknown[]> {
  const members: unknown[] = []
  for await (const one of new Kvist(url).collection('c').list({ include: 'all' })) {
    const { key, value, origin, expires_at: expires } = one as Shown & { key: string; value: unknown }
    members.push([key, value, origin, expires])
  }
  return members
}

async function same(...servers: readonly TestServer[]): Promise<void> {
  await until(async () => {
    const all = await Promise.all(servers.map(membersOf))
    return all.every((one) => Bun.deepEquals(one, all[0]))
  }, 'all have the same members')
}

test('what was acknowledged is on the target, though both are killed again and again', async () => {
  const seed = seedOfRun()
  const r = random(seed)
  const folderOf = { target: folder(), emitter: folder() }
  let target = await start(folderOf.target)
  let emitter = await start(folderOf.emitter, ['--mirror-to', target.url])
  const ports = { target: `${target.port}`, emitter: `${emitter.port}` }
  const acknowledged = new Map<string, number>()
  const state = { isDone: false }

  async function write(client: number): Promise<void> {
    for (let i = 0; !state.isDone; i++) {
      const key = `${client}-${i % 20}`
      const body = JSON.stringify(i)
      const response = await fetch(`${emitter.url}/v1/c/${key}`, { method: 'PUT', body }).catch(() => null)
      if (response?.ok) acknowledged.set(key, i)
      else await Bun.sleep(20)
    }
  }

  const writing = [0, 1, 2].map(write)
  for (let round = 0; round < (isLongRun ? 6 : 3); round++) {
    await Bun.sleep(100 + r.int(200))
    if (r.oneIn(2)) {
      await emitter.crash()
      emitter = await start(folderOf.emitter, ['--port', ports.emitter, '--mirror-to', target.url])
    } else {
      await target.crash()
      target = await start(folderOf.target, ['--port', ports.target])
    }
  }
  state.isDone = true
  await Promise.all(writing)
  await same(emitter, target)
  expect(acknowledged.size).toBeGreaterThan(0)
  for (const [key, value] of acknowledged) {
    // A write whose response was lost may have been done after the last one that was acknowledged.
    const found = Number(await (await fetch(`${target.url}/v1/c/${key}`)).text())
    expect(found).toBeGreaterThanOrEqual(value)
  }
})

test('a ring of three bridges ends up the same, though each is killed while clients write to all', async () => {
  const r = random(seedOfRun())
  const data = [folder(), folder(), folder()]
  // The addresses have to be known before the first of the ring starts.
  const ports = await Promise.all(
    data.map(async (at) => {
      const server = await start(at)
      await server.stop()
      return server.port
    }),
  )
  const enter = (i: number) => {
    const next = `http://127.0.0.1:${ports[(i + 1) % 3]}`
    return start(data[i]!, ['--port', `${ports[i]}`, '--bridge', '--mirror-to', next])
  }
  const ring = await Promise.all([0, 1, 2].map(enter))
  const state = { isDone: false, acknowledged: 0 }
  async function write(at: number): Promise<void> {
    for (let i = 0; !state.isDone; i++) {
      const url = `http://127.0.0.1:${ports[at]}/v1/c/k${r.int(30)}`
      const kind = r.int(10)
      const init =
        kind < 7
          ? { method: 'PUT', body: `"${at} ${i}"` }
          : kind < 9
            ? { method: 'DELETE' }
            : { method: 'PATCH' }
      const query = kind === 9 || kind === 0 ? '?expire_in=1h' : ''
      const response = await fetch(url + query, init).catch(() => null)
      if (response === null) await Bun.sleep(20)
      else if (response.ok) state.acknowledged++
    }
  }
  const writing = [0, 1, 2].map(write)
  for (let round = 0; round < (isLongRun ? 5 : 3); round++) {
    await Bun.sleep(100 + r.int(300))
    const at = r.int(3)
    await ring[at]!.crash()
    if (r.oneIn(2)) await Bun.sleep(r.int(300))
    ring[at] = await enter(at)
  }
  state.isDone = true
  await Promise.all(writing)
  // The last word is with one node: all have it, and what it deletes stays away.
  const last = ring[r.int(3)]!
  // It may lack the member still, and a delete of what is not there does nothing.
  await Bun.sleep(5)
  await fetch(`${last.url}/v1/c/k0`, { method: 'PUT', body: '1' })
  await Promise.all([
    fetch(`${last.url}/v1/c/k0`, { method: 'DELETE' }),
    fetch(`${last.url}/v1/c/k1`, { method: 'PUT', body: '"last"' }),
  ])
  await same(...ring)
  for (const { url } of ring) {
    expect((await fetch(`${url}/v1/c/k0`)).status).toBe(404)
    expect(await (await fetch(`${url}/v1/c/k1`)).text()).toBe('"last"')
  }
  expect(state.acknowledged).toBeGreaterThan(50)
})

test('an emitter that is killed right after it responded sends when it is back', async () => {
  const target = await start(folder())
  const data = folder()
  // Nothing listens at this address yet, so nothing can have been sent before the end.
  const first = await start(data, ['--mirror-to', 'http://127.0.0.1:9'])
  expect((await fetch(`${first.url}/v1/c/k`, { method: 'PUT', body: '1' })).status).toBe(201)
  await first.crash()
  const again = await start(data, ['--mirror-to', target.url])
  await same(again, target)
  expect(await (await fetch(`${target.url}/v1/c/k`)).text()).toBe('1')
})

test('the servers file names the targets, a first line * passes on, and kvist nodes shows them', async () => {
  const last = await start(folder())
  const files = folder()
  writeFileSync(join(files, 'middle.list'), `*\n# the last one\n${last.url}\n`)
  const middle = await start(folder(), ['--servers', join(files, 'middle.list')])
  writeFileSync(join(files, 'first.list'), `${middle.url}/\n\n`)
  const first = await start(folder(), ['--servers', join(files, 'first.list')])
  await fetch(`${first.url}/v1/c/k`, { method: 'PUT', body: '{"a":1}' })
  await same(first, middle, last)
  const kvist = new Kvist(first.url)
  await until(async () => (await kvist.nodes.status()).targets[0]?.state === 'current', 'it is current')
  const env = { ...process.env, KVIST_URL: first.url }
  const { exitCode, stdout } = await runToEnd([kvistProgram, 'nodes'], { env: env as Record<string, string> })
  expect([exitCode, stdout]).toEqual([0, `${middle.url}\tcurrent\t0\t0.0\t1\t-\n`])
  const metrics = await (await fetch(`${first.url}/metrics`)).text()
  expect(metrics).toContain(`kvist_mirror_current{target="${middle.url}"} 1`)
})

test.each([
  [['--mirror-to', 'ftp://x'], '--mirror-to'],
  [['--mirror-to', 'http://user:secret@x'], '--mirror-to'],
  [['--servers', 'no-such-file'], 'cannot be read: ENOENT'],
  [['--mirror-only', 'c'], 'need a target'],
  [['--mirror-tokens'], 'need a target'],
])('%j is refused', async (flags, why) => {
  const { exitCode, stderr } = await runToEnd([kvistProgram, 'serve', '--data', folder(), ...flags])
  expect([exitCode, stderr.includes(why)]).toEqual([2, true])
})

test('a copy of a data folder has the id of the first until it gets its own', async () => {
  const data = folder()
  const copy = folder()
  const first = await start(data)
  await fetch(`${first.url}/v1/c/k`, { method: 'PUT', body: '1' })
  await first.stop()
  cpSync(data, copy, { recursive: true })
  const same1 = await start(copy)
  const idOf = async ({ url }: TestServer) => (await new Kvist(url).nodes.status()).node
  const id = await idOf(same1)
  await same1.stop()
  const other = await start(copy, ['--new-node-id'])
  const otherId = await idOf(other)
  expect(otherId).not.toBe(id)
  const emitter = await start(data, ['--mirror-to', other.url])
  expect(await idOf(emitter)).toBe(id)
  await fetch(`${emitter.url}/v1/c/l`, { method: 'PUT', body: '2' })
  await until(async () => (await fetch(`${other.url}/v1/c/l`)).ok, 'it is there')
})
