import { afterEach, expect } from 'bun:test'
import { openDatabase } from '../../src/core/database.ts'
import type { Member } from '../../src/core/member.ts'
import { openMemory } from '../../src/engines/memory/engine.ts'
import { dialectRoutes } from '../../src/http/dialects/all.ts'
import { listen } from '../../src/http/server.ts'
import { v1Routes } from '../../src/http/v1/routes.ts'
import type { ServerMemory } from '../../src/http/wire/request-memory.ts'
import { MemoryBudget } from '../../src/net/budget.ts'
import { startSockets } from '../../src/net/sockets.ts'
import { authenticatorOf } from './authenticator.ts'
import { put } from './responses.ts'
import { openWire, requestBytes, type Wire } from './wire.ts'

/** A server in process with small budgets of memory, whose clock the test moves, and clients that do not read. */

export const mib = 1024 * 1024
/** More than the system holds for a client that does not read. */
export const valueBytes = 12 * mib
/** Longer than any test passes. */
const idleTimeoutSeconds = 1_000_000
/** How long a client that does nothing may hold up others that wait for memory. */
export const contendedSeconds = 11

const running: { stop(): Promise<void> }[] = []
const clients: Wire[] = []
afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy()
  for (const one of running.splice(0)) await one.stop()
})

export async function startMemoryServer({
  valuesBytes = 30 * mib,
  pagesBytes = 30 * mib,
  bodiesBytes = 30 * mib,
} = {}) {
  const errors: unknown[] = []
  const reads: string[] = []
  const db = await openDatabase({
    open: async (onCommit) => {
      const engine = openMemory({ onCommit })
      return {
        ...engine,
        read(collection, key) {
          reads.push(key)
          return engine.read(collection, key)
        },
        readMany(refs, maxBytes) {
          const members = engine.readMany(refs, maxBytes) as (Member | null)[]
          reads.push(...refs.slice(0, members.length).map(({ key }) => key))
          return members
        },
      }
    },
    cacheBytes: 0,
    now: Date.now,
    onError: (error) => errors.push(error),
  })
  const memory: ServerMemory = {
    values: new MemoryBudget(valuesBytes),
    pages: new MemoryBudget(pagesBytes),
    bodies: new MemoryBudget(bodiesBytes),
  }
  const sockets = startSockets((error) => errors.push(error))
  sockets.registry.stop()
  const server = listen({
    host: '127.0.0.1',
    port: 0,
    idleTimeoutSeconds,
    hostNames: ['x'],
    authenticator: authenticatorOf(null),
    routes: [...v1Routes(db), ...dialectRoutes(db, null)],
    now: Date.now,
    onError: (error) => errors.push(error),
    observe: () => () => {},
    sockets,
    reads: db.readQueue(sockets.ticks.scheduleWork),
    memory,
  })
  running.push({
    async stop() {
      await server.stop(0)
      await db.close()
      expect(errors).toEqual([])
    },
  })
  const port = Number(new URL(server.url).port)
  async function connect(): Promise<Wire> {
    const client = await openWire(port)
    clients.push(client)
    return client
  }
  /** A client that asks and does not read. */
  async function askUnread(path: string, headers: Record<string, string> = {}): Promise<Wire> {
    const client = await connect()
    client.pause()
    client.write(requestBytes('GET', path, { headers }))
    await client.flushed()
    return client
  }
  function passSeconds(seconds: number): void {
    for (let i = 0; i < seconds; i++) sockets.registry.passSecond()
  }
  return { port, memory, reads, connect, askUnread, passSeconds, url: server.url }
}

export type MemoryServer = Awaited<ReturnType<typeof startMemoryServer>>

export async function storeValues({ url }: MemoryServer, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const isText = i % 2 === 0
    const body = isText ? JSON.stringify('x'.repeat(valueBytes - 2)) : new Uint8Array(valueBytes).fill(i)
    await put(`${url}/v1/large/${i}`, body, { 'content-type': isText ? 'application/json' : 'a/b' })
  }
}

/** What is small goes on whatever large values are waited for. */
export async function expectSmallRequests({ url }: MemoryServer): Promise<void> {
  expect((await put(`${url}/v1/small/k`, '1')).ok).toBe(true)
  expect(await (await fetch(`${url}/v1/small/k`)).text()).toContain('1')
}
