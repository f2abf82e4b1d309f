import { expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { serveMemcached } from '../support/memcached/serve.ts'

/** Thousands of clients at once. */

const clientCount = 2500

function residentMb(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) / 1024
}

test(`${clientCount} clients are connected and served at once, and a stop ends them all`, async () => {
  const server = await serveMemcached()
  const beforeMb = residentMb(server.pid)
  const clients = await Promise.all(Array.from({ length: clientCount }, () => server.connect()))
  for (let round = 0; round < 2; round++) {
    const said = await Promise.all(
      clients.map((client, i) => client.ask(`set k${i} 0 0 1\r\n${round}\r\nget k${i}\r\n`, 'END\r\n')),
    )
    expect(new Set(said.map((one, i) => one.replace(`k${i}`, 'k')))).toEqual(
      new Set([`STORED\r\nVALUE k 0 1\r\n${round}\r\nEND\r\n`]),
    )
  }
  expect(await clients[0]!.ask('stats\r\n', 'END\r\n')).toContain(`STAT curr_connections ${clientCount}\r\n`)
  expect((residentMb(server.pid) - beforeMb) / clientCount).toBeLessThan(0.05)
  const ends = clients.map((client) => client.rest())
  expect(await server.stop()).toBe(0)
  await Promise.all(ends)
  await server.remove()
})
