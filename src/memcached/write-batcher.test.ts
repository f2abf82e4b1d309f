import { expect, test } from 'bun:test'
import type { Write, Written } from '../core/engine.ts'
import type { Command } from './command.ts'
import { startWriteBatcher, type WriteClient } from './write-batcher.ts'

const written: Written = { revision: 1, createdAtMs: 0, clock: 0, existed: false }
const command: Command = { kind: 'metaNoop' }

function batcher() {
  const works: (() => void)[] = []
  const commits: (readonly Write[])[] = []
  const write = async (writes: readonly Write[]) => {
    commits.push(writes)
    return writes.map(() => written)
  }
  const client: WriteClient = { written() {}, failed() {}, batchDone() {} }
  const { add } = startWriteBatcher({ write }, 'full', (work) => works.push(work))
  function addOne(key: string, bytes = 100): void {
    add({ command, write: { op: 'delete', collection: 'c', key, cause: 'delete' }, bytes, client })
  }
  return { addOne, works, keys: () => commits.map((writes) => writes.map(({ key }) => key)) }
}

test('the writes of a tick are one commit at its end, with one sync', () => {
  const { addOne, works, keys } = batcher()
  for (const key of ['a', 'b', 'c']) addOne(key)
  expect([keys(), works.length]).toEqual([[], 1])
  works.shift()!()
  expect(keys()).toEqual([['a', 'b', 'c']])
  addOne('d')
  expect([keys().length, works.length]).toEqual([1, 1])
  works.shift()!()
  expect(keys().at(-1)).toEqual(['d'])
})

test('a full batch is committed before the tick ends', () => {
  const { addOne, works, keys } = batcher()
  for (let i = 0; i < 1001; i++) addOne(`k${i}`)
  addOne('large', 1024 * 1024)
  for (const work of works) work()
  expect(keys().map((all) => all.length)).toEqual([1000, 2])
})
