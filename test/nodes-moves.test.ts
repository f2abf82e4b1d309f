import { afterEach, expect, test } from 'bun:test'
import { cpSync, rmSync } from 'node:fs'
import { Kvist } from '../sdk/client.ts'
import {
  exported,
  type NodeProcesses,
  type NodesOptions,
  startNodes,
  untilSame,
} from './support/node-processes.ts'
import { startServer } from './support/server.ts'
import { until } from './support/until.ts'

/** Nodes that are processes, whose clocks are wrong, whose addresses change, and whose targets come and go. */

const running: NodeProcesses[] = []
afterEach(async () => {
  for (const one of running.splice(0)) await one.stop()
})

async function start(options: NodesOptions): Promise<NodeProcesses> {
  const started = await startNodes(options)
  running.push(started)
  return started
}

async function put(url: string, key: string, value: string): Promise<void> {
  const response = await fetch(`${url}/v1/c/${key}`, { method: 'PUT', body: JSON.stringify(value) })
  expect(response.ok).toBe(true)
  await response.text()
}

async function valueAt(url: string, key: string): Promise<unknown> {
  const response = await fetch(`${url}/v1/c/${key}`)
  const text = await response.text()
  return response.ok ? JSON.parse(text) : null
}

const statusOf = async (url: string) => (await new Kvist(url).nodes.status()).targets
const hourMs = 3_600_000

test('clocks an hour apart, and set while the nodes run: the last word wins, whoever has it', async () => {
  const cluster = await start({
    count: 3,
    links: [
      [0, 1],
      [1, 2],
      [2, 0],
    ],
    flags: ['--bridge', '--max-clock-ahead', '2h'],
    hasClocks: true,
  })
  const urls = cluster.nodes.map(({ url }) => url)
  const [ahead, right, behind] = cluster.nodes
  for (const [aheadMs, behindMs] of [
    [hourMs, -hourMs / 2],
    [-hourMs / 2, hourMs],
    [0, 0],
  ] as const) {
    ahead!.setClock(aheadMs)
    behind!.setClock(behindMs)
    await Bun.sleep(50) // the clocks are read again
    for (const [i, url] of [ahead!.url, behind!.url, right!.url, behind!.url].entries()) {
      await put(url, 'k', `${aheadMs} ${i}`)
      await put(url, `gone-${i}`, 'x')
      await untilSame(urls)
      await fetch(`${urls[(i + 1) % 3]}/v1/c/gone-${i}`, { method: 'DELETE' })
      await untilSame(urls)
    }
    for (const url of urls) {
      expect(await valueAt(url, 'k')).toBe(`${aheadMs} 3`)
      for (let i = 0; i < 4; i++) expect(await valueAt(url, `gone-${i}`)).toBeNull()
    }
    // A node that is started again goes on after the stamps that it has, whatever its clock shows.
    await behind!.server!.crash()
    await behind!.start()
  }
})

test('a node whose clock is too far ahead is refused until the clocks agree; what it wrote is not lost', async () => {
  const cluster = await start({
    count: 2,
    links: [
      [0, 1],
      [1, 0],
    ],
    flags: ['--max-clock-ahead', '1m'],
    hasClocks: true,
  })
  const [ahead, right] = cluster.nodes
  ahead!.setClock(hourMs)
  await Bun.sleep(50)
  await put(ahead!.url, 'k', 'ahead')
  await put(right!.url, 'k', 'right')
  const refusal = /ahead of this node/
  await until(
    async () => refusal.test((await statusOf(ahead!.url))[0]!.last_error?.detail ?? ''),
    'it is refused',
  )
  expect(await valueAt(right!.url, 'k')).toBe('right')
  right!.setClock(hourMs)
  await untilSame([ahead!.url, right!.url])
  expect(await valueAt(right!.url, 'k')).toBe('ahead')
})

test('two targets that exchange their addresses end up with all', async () => {
  const cluster = await start({
    count: 3,
    links: [
      [0, 1],
      [0, 2],
    ],
  })
  const [emitter, one, other] = cluster.nodes
  const urls = cluster.nodes.map(({ url }) => url)
  for (let i = 0; i < 20; i++) await put(emitter!.url, `k${i}`, 'x')
  await untilSame(urls)
  // The one is away while the emitter goes on.
  await one!.server!.stop()
  for (let i = 10; i < 30; i++) await put(emitter!.url, `k${i}`, 'y')
  await until(async () => (await statusOf(emitter!.url))[1]!.state === 'current', 'the other has all')
  await one!.start()
  const [toOne, toOther] = cluster.lines
  toOne!.pointTo(other!.server!.port)
  toOther!.pointTo(one!.server!.port)
  toOther!.reset()
  toOne!.reset()
  // Without a write it would be noticed some seconds later.
  await put(emitter!.url, 'last', 'z')
  await untilSame(urls)
})

test('a target that is taken out and added again gets what it missed, deletes and renewals included', async () => {
  const cluster = await start({ count: 2, links: [[0, 1]] })
  const [emitter, target] = cluster.nodes
  const url = () => emitter!.url
  for (const key of ['kept', 'deleted', 'renewed']) await put(url(), `${key}?expire_in=1h`, key)
  await untilSame([url(), target!.url])
  await emitter!.server!.stop()
  const alone = await startServer({ dataFolder: emitter!.dataFolder })
  await fetch(`${alone.url}/v1/c/deleted`, { method: 'DELETE' })
  await fetch(`${alone.url}/v1/c/renewed?expire_in=30d`, { method: 'PATCH' })
  await put(alone.url, 'kept', 'changed')
  await alone.stop()
  await emitter!.start()
  await untilSame([url(), target!.url])
  expect([await valueAt(target!.url, 'deleted'), await valueAt(target!.url, 'kept')]).toEqual([
    null,
    'changed',
  ])
})

test('of two that mirror to each other one is put back from an older copy: it gets back what it wrote itself too', async () => {
  const cluster = await start({
    count: 2,
    links: [
      [0, 1],
      [1, 0],
    ],
  })
  const [one, other] = cluster.nodes
  const urls = cluster.nodes.map(({ url }) => url)
  const copy = `${other!.dataFolder}-copy`
  for (const key of ['kept', 'deleted', 'renewed']) await put(other!.url, `${key}?expire_in=1h`, key)
  await untilSame(urls)
  await other!.server!.stop()
  cpSync(other!.dataFolder, copy, { recursive: true })
  await other!.start()
  await put(one!.url, 'of one', 'x')
  await put(other!.url, 'kept', 'changed')
  await put(other!.url, 'of itself', 'y')
  await fetch(`${other!.url}/v1/c/deleted`, { method: 'DELETE' })
  await fetch(`${other!.url}/v1/c/renewed?expire_in=30d`, { method: 'PATCH' })
  await untilSame(urls)
  const before = await exported(one!.url)
  await other!.server!.crash()
  rmSync(other!.dataFolder, { recursive: true, force: true })
  cpSync(copy, other!.dataFolder, { recursive: true })
  await other!.start()
  // The other node's mirror notices at its next batch.
  await put(one!.url, 'last', 'z')
  await untilSame(urls)
  const kept = (await exported(one!.url)).filter((member) => !JSON.stringify(member).includes('"last"'))
  expect(kept).toEqual([...before])
})
