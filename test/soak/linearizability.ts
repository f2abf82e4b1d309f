import { rmSync } from 'node:fs'
import { checkLinearizable, type Operation } from '../support/linearizable.ts'
import type { Random } from '../support/random.ts'
import { newFolder, startServer } from '../support/server.ts'
import { type Fault, repeatFor } from './fault.ts'

/**
 * Clients read and write a few members at once, alone and several in a batch, while the server is killed. Every result
 * must fit one order in which each operation happened at a moment between its request and its response.
 */
export const linearizability: Fault = {
  name: 'linearizability',
  does: 'operations on single members and batches beside each other, with kills, checked for one order of all',
  async round({ random, budgetMs }) {
    const dataFolder = newFolder()
    const figures = { kills: 0, operations: 0, unanswered: 0 }
    let states: State[] = Array.from({ length: groupCount }, () => emptyState)
    let life = 0
    try {
      await repeatFor(budgetMs, async () => {
        const history = await oneLife(dataFolder, random, ++life)
        states = await checkLife(dataFolder, history, states)
        figures.kills++
        figures.operations += history.length
        figures.unanswered += history.filter(({ returnedAt }) => returnedAt === never).length
      })
      return figures
    } finally {
      rmSync(dataFolder, { recursive: true, force: true })
    }
  },
}

const never = Number.POSITIVE_INFINITY
const groupCount = 4
const clientsOfGroup = 4
const registers = ['a', 'b', 'c'] as const

/** What a group of members holds: three texts, null for absent, and a counter. */
interface State {
  readonly values: readonly (string | null)[]
  readonly count: number | null
}

const emptyState: State = { values: [null, null, null], count: null }

interface Recorded extends Operation<State> {
  readonly group: number
}

/** What is sent, and what the state must have been for its response: null where the response cannot be. */
interface Plan {
  readonly label: string
  readonly path: string
  readonly request: RequestInit
  /** Without a response, `outcome` is null: whatever it does then, it does. */
  step(state: State, outcome: Outcome | null): State | null
}

interface Outcome {
  readonly status: number
  readonly body: string
}

async function oneLife(dataFolder: string, random: Random, life: number): Promise<Recorded[]> {
  const server = await startServer({ dataFolder })
  const history: Recorded[] = []
  let hasEnded = false
  let written = 0

  async function client(group: number): Promise<void> {
    while (!hasEnded) {
      const plan = planOf(group, random, `${life}.${++written}`)
      const calledAt = performance.now()
      const outcome = await send(`${server.url}/v1/${plan.path}`, plan.request)
      const returnedAt = outcome === null ? never : performance.now()
      const step = (state: State) => plan.step(state, outcome)
      history.push({ group, calledAt, returnedAt, step, label: `${plan.label} → ${outcome?.body}` })
      if (outcome === null) return
    }
  }

  const clients = Array.from({ length: groupCount * clientsOfGroup }, (_, i) => client(i % groupCount))
  await Bun.sleep(50 + random.int(350))
  await server.crash()
  hasEnded = true
  await Promise.all(clients)
  return history
}

/** Reads what a killed server left, as the last operation of each group, and checks the groups one by one. */
async function checkLife(
  dataFolder: string,
  history: readonly Recorded[],
  before: readonly State[],
): Promise<State[]> {
  const server = await startServer({ dataFolder })
  try {
    return await Promise.all(
      before.map(async (initial, group) => {
        const found = await readState(server.url, group)
        const calledAt = performance.now()
        const last: Operation<State> = {
          calledAt,
          returnedAt: calledAt + 1,
          step: (state) => (keyOf(state) === keyOf(found) ? state : null),
          label: `after the kill ${keyOf(found)}`,
        }
        const own = history.filter((operation) => operation.group === group)
        const verdict = checkLinearizable([...own, last], initial, keyOf)
        if (!verdict.ok) {
          const stuck = verdict.stuckAt.join('\n  ')
          throw new Error(`group ${group}: after ${verdict.ordered} of ${own.length} none fits:\n  ${stuck}`)
        }
        return found
      }),
    )
  } finally {
    await server.crash()
  }
}

async function send(url: string, request: RequestInit): Promise<Outcome | null> {
  try {
    const response = await fetch(url, request)
    const body = await response.text()
    // What is refused while the server stops was not done, but may just as well be left open.
    return response.status >= 500 ? null : { status: response.status, body }
  } catch {
    return null
  }
}

async function readState(url: string, group: number): Promise<State> {
  const read = async (name: string) => {
    const { status, body } = (await send(`${url}/v1/${pathOf(group, name)}`, {}))!
    return status === 404 ? null : body
  }
  const values = await Promise.all(registers.map(read))
  const count = await read('n')
  return { values, count: count === null ? null : Number(count) }
}

function keyOf(state: State): string {
  return JSON.stringify(state)
}

function pathOf(group: number, name: string): string {
  return `linear/${group}-${name}`
}

function planOf(group: number, random: Random, unique: string): Plan {
  return random.pick(plans)(group, random, unique)
}

type MakePlan = (group: number, random: Random, unique: string) => Plan

const plans: readonly MakePlan[] = [
  planGet,
  planGet,
  planPut,
  planDelete,
  planCreate,
  planIncrement,
  planReadCounter,
  planBatch,
  planBatch,
]

function planGet(group: number, random: Random): Plan {
  const i = random.int(registers.length)
  return {
    label: `get ${registers[i]}`,
    path: pathOf(group, registers[i]!),
    request: {},
    step(state, outcome) {
      const found = outcome?.status === 404 ? null : outcome?.body
      return outcome === null || state.values[i] === found ? state : null
    },
  }
}

function planPut(group: number, random: Random, unique: string): Plan {
  const i = random.int(registers.length)
  const value = `"${unique}"`
  return {
    label: `put ${registers[i]} ${value}`,
    path: pathOf(group, registers[i]!),
    request: { method: 'PUT', body: value },
    step(state, outcome) {
      const expected = state.values[i] === null ? 201 : 200
      return outcome === null || outcome.status === expected ? withValue(state, i, value) : null
    },
  }
}

function planDelete(group: number, random: Random): Plan {
  const i = random.int(registers.length)
  return {
    label: `delete ${registers[i]}`,
    path: pathOf(group, registers[i]!),
    request: { method: 'DELETE' },
    step(state, outcome) {
      const expected = state.values[i] === null ? 404 : 204
      return outcome === null || outcome.status === expected ? withValue(state, i, null) : null
    },
  }
}

function planCreate(group: number, random: Random, unique: string): Plan {
  const i = random.int(registers.length)
  const value = `"${unique}"`
  return {
    label: `create ${registers[i]} ${value}`,
    path: pathOf(group, registers[i]!),
    request: { method: 'PUT', body: value, headers: { 'if-none-match': '*' } },
    step(state, outcome) {
      const isThere = state.values[i] !== null
      if (outcome !== null && outcome.status !== (isThere ? 412 : 201)) return null
      return isThere ? state : withValue(state, i, value)
    },
  }
}

function planIncrement(group: number, random: Random): Plan {
  const by = 1 + random.int(3)
  return {
    label: `increment by ${by}`,
    path: pathOf(group, 'n'),
    request: {
      method: 'PATCH',
      body: JSON.stringify({ path: '', by }),
      headers: { 'content-type': 'application/vnd.kvist.increment+json' },
    },
    step(state, outcome) {
      const count = (state.count ?? 0) + by
      if (outcome !== null && JSON.parse(outcome.body).value !== count) return null
      return { ...state, count }
    },
  }
}

function planReadCounter(group: number): Plan {
  return {
    label: 'get n',
    path: pathOf(group, 'n'),
    request: {},
    step(state, outcome) {
      const found = outcome?.status === 404 ? null : Number(outcome?.body)
      return outcome === null || state.count === found ? state : null
    },
  }
}

/** Several members together, some of them only where a member is missing. */
function planBatch(group: number, random: Random, unique: string): Plan {
  const changes = registers.map((_, i) => ({
    i,
    value: random.oneIn(4) ? null : `"${unique}.${i}"`,
    isChanged: !random.oneIn(3),
  }))
  const changed = changes.filter(({ isChanged }) => isChanged)
  const missing = random.oneIn(3) ? random.int(registers.length) : null
  const operations = changed.map(({ i, value }) => ({
    op: value === null ? 'delete' : 'put',
    collection: 'linear',
    key: `${group}-${registers[i]}`,
    ...(value === null ? {} : { value: JSON.parse(value) }),
  }))
  const checks =
    missing === null ? [] : [{ collection: 'linear', key: `${group}-${registers[missing]}`, revision: null }]
  return {
    label: `batch ${changed.map(({ i, value }) => `${registers[i]}=${value}`).join(' ')} if missing ${missing}`,
    path: '_batch',
    request: { method: 'POST', body: JSON.stringify({ checks, operations }) },
    step(state, outcome) {
      const isRefused = missing !== null && state.values[missing] !== null
      if (outcome !== null && outcome.status !== (isRefused ? 412 : 200)) return null
      return isRefused ? state : changed.reduce((so, { i, value }) => withValue(so, i, value), state)
    },
  }
}

function withValue(state: State, i: number, value: string | null): State {
  return { ...state, values: state.values.map((old, at) => (at === i ? value : old)) }
}
