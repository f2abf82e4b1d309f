import { afterAll, beforeAll, expect, test } from 'bun:test'
import { readFileSync, rmSync } from 'node:fs'
import { put } from './support/responses.ts'
import { startServer } from './support/server.ts'
import { openWire, requestBytes, type Wire } from './support/wire.ts'

/** What a process takes of the machine while many clients ask for large values and do not read them. */

const mib = 1024 * 1024
/** They ask for twice what the process may take. */
const clientCount = 40
const valueBytes = 15 * mib
const maxResidentMib = 300

function residentMib(pid: number): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) / 1024
}

const count = 20

let dataFolder: string
beforeAll(async () => {
  const storing = await startServer()
  dataFolder = storing.dataFolder
  const values = [`"${'x'.repeat(valueBytes - 2)}"`, new Uint8Array(valueBytes).fill(1)]
  for (let i = 0; i < count; i++) {
    const type = i % 2 === 0 ? 'application/json' : 'a/b'
    await put(`${storing.url}/v1/large/${i}`, values[i % 2]!, { 'content-type': type })
  }
  // Each test starts a server of its own: none of the values is in the memory of the log.
  expect(await storing.stop()).toBe(0)
})
afterAll(() => rmSync(dataFolder, { recursive: true, force: true }))

const requests: readonly [what: string, path: (i: number) => string, headers?: Record<string, string>][] = [
  ['values', (i) => `/v1/large/${i % count}`],
  ['lists', (i) => `/v1/large?from=${i % count}`],
  ['exports', () => '/v1/large', { Accept: 'application/x-ndjson' }],
  ['pages of the feed', (i) => `/v1/_changes?since=${i % count}`],
  ['watches', (i) => `/v1/large?since=${i % count}`, { Accept: 'text/event-stream' }],
]

for (const [what, path, headers = {}] of requests) {
  test(`${clientCount} clients that do not read ${what} of 15 MB leave the process below ${maxResidentMib} MB`, async () => {
    const server = await startServer({ dataFolder })
    const unread: Wire[] = []
    let most = 0
    for (let i = 0; i < clientCount; i++) {
      const client = await openWire(server.port)
      client.pause()
      client.write(requestBytes('GET', path(i), { headers }))
      unread.push(client)
      most = Math.max(most, residentMib(server.pid))
    }
    for (let i = 0; i < 20; i++) {
      expect((await put(`${server.url}/v1/small/${i}`, '1')).ok).toBe(true)
      expect((await fetch(`${server.url}/v1/small/${i}`)).status).toBe(200)
      await Bun.sleep(50)
      most = Math.max(most, residentMib(server.pid))
    }
    for (const client of unread) client.destroy()
    // After a crash the next server would begin with a flush, whose thread takes memory of its own.
    expect(await server.stop()).toBe(0)
    expect(most).toBeLessThan(maxResidentMib)
  })
}
