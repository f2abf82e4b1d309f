import { expect } from 'bun:test'
import { Kvist } from '../sdk/client.ts'
import { until } from './support/engine.ts'
import { needing } from './support/needs.ts'
import { startServer } from './support/server.ts'
import { smallDisk } from './support/small-disk.ts'

const { test } = needing('namespaces')

test('a target whose disk is full gets what it missed once it has room, and nothing is skipped', async () => {
  const disk = await smallDisk(160)
  const target = await startServer({ dataFolder: disk.dataFolder, command: disk.command })
  const emitter = await startServer({ flags: ['--mirror-to', target.url] })
  try {
    const kvist = new Kvist(emitter.url)
    const targetOf = async () => (await kvist.nodes.status()).targets[0]!
    const write = (i: number) =>
      fetch(`${emitter.url}/v1/c/k${i}`, { method: 'PUT', body: JSON.stringify('x'.repeat(100_000) + i) })
    await write(0)
    await until(async () => (await targetOf()).state === 'current', 'the first is there')
    disk.fill()
    // More than the reserve of the target's log.
    for (let i = 1; i < 900; i++) expect((await write(i % 300)).ok).toBe(true)
    await until(
      async () => (await targetOf()).last_error?.detail.includes('disk is full') === true,
      'it is full',
    )
    disk.makeRoom()
    await until(async () => (await targetOf()).state === 'current', 'it has everything')
    for (const i of [0, 1, 150, 299]) {
      const [one, other] = await Promise.all([emitter, target].map(({ url }) => fetch(`${url}/v1/c/k${i}`)))
      expect(await other!.text()).toBe(await one!.text())
    }
  } finally {
    await emitter.remove()
    await target.remove()
    await disk.remove()
  }
})
