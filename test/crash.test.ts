import { afterAll, expect, test } from 'bun:test'
import { rmSync } from 'node:fs'
import { seededRandom, startLoad } from './support/load.ts'
import { newFolder, startServer } from './support/server.ts'

/**
 * `kill -9` at any moment loses no acknowledged write and leaves no half of a batch. `npm run soak -- --only kills` goes on
 * for as long as its option says.
 */

const rounds = 12
const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31))

const dataFolder = newFolder()
afterAll(() => rmSync(dataFolder, { recursive: true, force: true }))

test(`a server that is killed ${rounds} times under load keeps every promise (SEED=${seed})`, async () => {
  const random = seededRandom(seed)
  const load = startLoad(random)
  for (let round = 0; round < rounds; round++) {
    const server = await startServer({ dataFolder })
    try {
      await load.verify(server.url)
      const running = load.run(server.url)
      // Now and then long enough for the log to be applied, with a kill in the middle of that.
      await Bun.sleep(round % 5 === 4 ? 1000 + random() * 1500 : 50 + random() * 450)
      await server.crash()
      await running
    } finally {
      await server.crash()
    }
  }
  const server = await startServer({ dataFolder })
  await load.verify(server.url)
  expect(await server.stop()).toBe(0)
  const again = await startServer({ dataFolder })
  await load.verify(again.url)
  await again.crash()
  expect(load.acknowledged()).toBeGreaterThan(rounds * 10)
})
