import { expect, test } from 'bun:test'
import type { Cluster } from './cluster.ts'
import type { RedisOptions } from './options.ts'
import { openStore } from './store-settings.ts'

/** Redis servers of which one key is enough: the settings of a store, which the first that opens it decides. */
function servers(isSingle: boolean) {
  let stored: unknown[] | null = null
  const cluster: Pick<Cluster, 'isSingle' | 'script' | 'write'> = {
    isSingle,
    script: () => 'sha',
    async write(_slot, [, , , , ...fields]) {
      stored ??= fields
      return { reply: stored as string[], isReplicated: true }
    },
  }
  return (lines: number | null) =>
    openStore(cluster as Cluster, { prefix: 'p', placement: 'spread', lines } as RedisOptions)
}

test.each([
  ['a cluster', false, 16],
  ['a single server', true, 4],
])('a new store on %s has its usual number of lines', async (_name, isSingle, lines) => {
  expect(await servers(isSingle)(null)).toMatchObject({ lines })
})

test('a store keeps the number of lines that it was created with', async () => {
  const open = servers(true)
  const { nodeId } = await open(8)
  expect(await open(null)).toEqual({ nodeId, lines: 8 })
  expect(await open(8)).toEqual({ nodeId, lines: 8 })
  await expect(open(4)).rejects.toThrow('was created with --redis-lines 8, not 4')
})
