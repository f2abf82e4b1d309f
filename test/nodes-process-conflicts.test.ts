import { expect, test } from 'bun:test'
import { rmSync } from 'node:fs'
import { Kvist } from '../sdk/client.ts'
import { newFolder, startServer } from './support/server.ts'

test('a version that was lost is listed after the server was killed right after its response', async () => {
  const dataFolder = newFolder()
  try {
    let server = await startServer({ dataFolder })
    const put = { op: 'put', collection: 'c', created_at: '2026-01-01T00:00:00Z', expires_at: null }
    for (let i = 0; i < 5; i++) {
      const { nodes } = new Kvist(server.url)
      const line = (node: string, clock: number) =>
        `${JSON.stringify({ ...put, key: `k${i}`, origin: { node, clock }, value: node })}\n`
      await nodes.replicate(line('n1', 1), 'n1')
      expect(await nodes.replicate(line('n2', 2), 'n2')).toMatchObject({ applied: 1 })
      await server.crash()
      server = await startServer({ dataFolder })
    }
    const { conflicts } = await new Kvist(server.url).nodes.conflicts()
    expect(conflicts.map(({ key, lost }) => [key, lost.value]).toSorted()).toEqual(
      Array.from({ length: 5 }, (_, i) => [`k${i}`, 'n1']),
    )
    await server.remove()
  } finally {
    rmSync(dataFolder, { recursive: true, force: true })
  }
})
