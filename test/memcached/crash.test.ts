import { afterAll, expect, test } from 'bun:test'
import { rmSync } from 'node:fs'
import { isLongRun } from '../support/long-run.ts'
import { type MemcachedTestServer, serveMemcached } from '../support/memcached/serve.ts'
import { random, seedOfRun } from '../support/random.ts'
import { newFolder } from '../support/server.ts'

/**
 * `kill -9` loses nothing that was acknowledged. Each writer has keys of its own, and sends growing numbers down a
 * pipeline; what stands afterwards must be at least the last number acknowledged and at most the last one sent.
 */

const rounds = isLongRun ? 20 : 4
const writers = 16
const keysOfWriter = 10
const pipelined = 20

const dataFolder = newFolder()
afterAll(() => rmSync(dataFolder, { recursive: true, force: true }))
const seed = random(seedOfRun())

interface Key {
  readonly name: string
  sent: number
  responded: number
}

const keys: Key[][] = Array.from({ length: writers }, (_, writer) =>
  Array.from({ length: keysOfWriter }, (_, i) => ({ name: `w${writer}-${i}`, sent: 0, responded: 0 })),
)

/** Writes until the server is gone. Key 0 is a counter, the others are set. */
async function write(server: MemcachedTestServer, own: Key[]): Promise<void> {
  const client = await server.connect()
  while (!client.isClosed()) {
    const batch = Array.from({ length: pipelined }, () => seed.pick(own))
    let request = ''
    for (const key of batch) {
      const number = `${++key.sent}`
      request +=
        key === own[0] ? `incr ${key.name} 1\r\n` : `set ${key.name} 0 0 ${number.length}\r\n${number}\r\n`
    }
    const said = await client.ask(`${request}mn\r\n`, 'MN\r\n')
    const responses = said.split('\r\n').slice(0, -1) // what is behind the last line end is no response
    for (const [i, key] of batch.entries()) {
      if (responses[i] === undefined) break
      expect(responses[i]).toMatch(/^(STORED|\d+)$/)
      key.responded++
    }
    // What was sent and not acknowledged may have been done or not: it counts as sent alone.
  }
}

async function verify(server: MemcachedTestServer): Promise<void> {
  const client = await server.connect()
  for (const key of keys.flat()) {
    const said = await client.ask(`get ${key.name}\r\n`, 'END\r\n')
    const value = Number(/\r\n(\d+)\r\nEND/.exec(said)?.[1] ?? 0)
    expect({ key: key.name, value }).toEqual({ key: key.name, value: expect.any(Number) })
    expect(value).toBeWithin(key.responded, key.sent + 1)
    key.sent = value
    key.responded = value
  }
  client.destroy()
}

test(`nothing that was acknowledged is lost by ${rounds} kills under load`, async () => {
  let responded = 0
  for (let round = 0; round < rounds; round++) {
    // Relaxed is safe from the end of the process as well, though not from the end of power.
    const durability = round % 4 === 3 ? 'relaxed' : 'full'
    const server = await serveMemcached({ dataFolder, flags: ['--memcached-durability', durability] })
    await verify(server)
    const client = await server.connect()
    await client.ask(
      `${keys.map(([counter]) => `add ${counter!.name} 0 0 1\r\n0\r\n`).join('')}mn\r\n`,
      'MN\r\n',
    )
    const before = keys.flat().reduce((sum, key) => sum + key.responded, 0)
    const writing = Promise.all(keys.map((own) => write(server, own)))
    await Bun.sleep(100 + seed.int(400))
    await server.crash()
    await writing
    responded += keys.flat().reduce((sum, key) => sum + key.responded, 0) - before
  }
  const server = await serveMemcached({ dataFolder })
  await verify(server)
  await server.crash()
  expect(responded).toBeGreaterThan(rounds * writers)
})
