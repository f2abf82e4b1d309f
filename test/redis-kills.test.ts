import { expect } from 'bun:test'
import { checkLinearizable, type Operation } from './support/linearizable.ts'
import { needing } from './support/needs.ts'
import { type Random, random, seedOfRun } from './support/random.ts'
import { type RedisServer, startRedis } from './support/redis-cluster.ts'
import { startServer, type TestServer } from './support/server.ts'

/** Servers on one Redis server that are killed in the middle of their writes, again and again. */

const { test, beforeAll, afterAll } = needing('redis', 'process')

let redis: RedisServer & { stop(): Promise<void> }
const servers: TestServer[] = []

beforeAll(async () => {
  redis = await startRedis()
  for (let i = 0; i < 2; i++) servers.push(await start())
})
afterAll(async () => {
  for (const server of servers) await server.remove()
  await redis?.stop()
})

function start(): Promise<TestServer> {
  const flags = ['--engine', `redis://127.0.0.1:${redis.port}`, '--redis-lines', '2']
  return startServer({ store: 'none', flags })
}

interface State {
  readonly value: string | null
}

interface Reply {
  readonly status: number
  readonly body: string
}

interface Plan {
  readonly label: string
  readonly request: RequestInit
  /** The state after it; null where the reply cannot come from this state. Without a reply whatever it did, it did. */
  step(state: State, reply: Reply | null): State | null
}

const never = Number.POSITIVE_INFINITY
const keys = ['a', 'b', 'c', 'd']

test('what two servers have acknowledged fits one history, however often they are killed', async () => {
  const choices = random(seedOfRun())
  const histories = new Map(keys.map((key) => [key, [] as Operation<State>[]]))
  let isStopped = false
  let written = 0
  let done = 0

  async function client(key: string, server: number): Promise<void> {
    while (!isStopped) {
      const used = servers[server]!
      const calledAt = performance.now()
      const { label, request, step } = planOf(`${++written}`, choices)
      const response = await fetch(`${used.url}/v1/things/${key}`, request).catch(() => null)
      const body = response === null ? null : await response.text().catch(() => null)
      const returnedAt = performance.now()
      const operation = { calledAt, label: `${label} → ${response?.status} ${body}` }
      if (response === null || body === null || response.status === 504) {
        if (request.method !== 'GET') {
          histories.get(key)!.push({ ...operation, returnedAt: never, step: (state) => step(state, null) })
        }
        // Each operation of unknown outcome doubles the orders to look through.
        while (servers[server] === used && !isStopped) await Bun.sleep(2)
      } else if (response.status !== 503) {
        const reply = { status: response.status, body }
        histories.get(key)!.push({ ...operation, returnedAt, step: (state) => step(state, reply) })
        done++
      }
    }
  }

  const clients = keys.flatMap((key) => [0, 1, 0, 1].map((server) => client(key, server)))
  for (let kills = 0; kills < 4; kills++) {
    const until = done + 200
    while (done < until) await Bun.sleep(1)
    await servers[kills % 2]!.crash()
    const again = await start()
    await servers[kills % 2]!.remove()
    servers[kills % 2] = again
  }
  isStopped = true
  await Promise.all(clients)
  for (const key of keys) {
    const found = await fetch(`${servers[0]!.url}/v1/things/${key}`)
    const value = found.status === 404 ? null : await found.text()
    const calledAt = performance.now()
    const last: Operation<State> = {
      calledAt,
      returnedAt: calledAt + 1,
      step: (state) => (state.value === value ? state : null),
      label: `found ${value}`,
    }
    const verdict = checkLinearizable([...histories.get(key)!, last], { value: null }, keyOf)
    expect(verdict).toEqual({ ok: true })
  }
})

function keyOf({ value }: State): string {
  return String(value)
}

function planOf(value: string, choices: Random): Plan {
  const kind = choices.int(4)
  if (kind === 0) {
    return {
      label: 'get',
      request: { method: 'GET' },
      step: (state, reply) => (reply === null || found(reply) === state.value ? state : null),
    }
  }
  if (kind === 1) {
    return {
      label: 'delete',
      request: { method: 'DELETE' },
      step: (state, reply) => {
        const isPossible = reply === null || (reply.status === 404) === (state.value === null)
        return isPossible ? { value: null } : null
      },
    }
  }
  if (kind === 2) {
    return {
      label: `put ${value}`,
      request: { method: 'PUT', body: value },
      step: (state, reply) => {
        const isPossible = reply === null || (reply.status === 201) === (state.value === null)
        return isPossible ? { value } : null
      },
    }
  }
  return {
    label: `create ${value}`,
    request: { method: 'PUT', body: value, headers: { 'if-none-match': '*' } },
    step: (state, reply) => {
      if (reply !== null && (reply.status === 412) !== (state.value !== null)) return null
      return state.value === null ? { value } : state
    },
  }
}

function found({ status, body }: Reply): string | null {
  return status === 404 ? null : body
}
