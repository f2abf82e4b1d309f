import type { Random } from './random.ts'

/**
 * A client of each node, which knows what it was promised: keys that it alone writes must have the value that was acknowledged
 * last, or one that was sent since without a response. Shared keys are written by all clients.
 */
export interface NodeLoad {
  /** Writes to each of these until `end`. */
  run(urls: readonly string[]): Promise<void>
  end(): void
  /** Throws unless a node has what the clients were promised. Call it when nothing is written. */
  verify(url: string): Promise<void>
  acknowledged(): number
}

/** Null for absent. */
interface Known {
  acknowledged: string | null
  unconfirmed: (string | null)[]
}

interface Sent {
  readonly path: string
  readonly init: RequestInit
  /** What keys of its own become. */
  readonly changes: ReadonlyMap<string, string | null>
}

const ownKeys = 25
export const sharedKeys = 15
const json = { 'content-type': 'application/json' }

export function nodeLoad(random: Random): NodeLoad {
  const members = new Map<string, Known>()
  let acknowledged = 0
  let hasEnded = false

  function known(key: string): Known {
    const found = members.get(key) ?? { acknowledged: null, unconfirmed: [] }
    members.set(key, found)
    return found
  }

  function request(client: number, i: number): Sent {
    const key = `own-${client}-${random.int(ownKeys)}`
    const kind = random.int(10)
    const value = `"${client} ${i}"`
    if (kind < 4) return put(key, value, random.oneIn(4) ? '?expire_in=30d' : '', new Map([[key, value]]))
    if (kind < 6) return remove(key, new Map([[key, null]]))
    if (kind < 7) return batch(key, value)
    const shared = `shared-${random.int(sharedKeys)}`
    if (kind < 9) return put(shared, value, random.oneIn(2) ? '?expire_in=1s' : '', new Map())
    if (random.oneIn(2)) return remove(shared, new Map())
    return { path: `c/${shared}?expire_in=30d`, init: { method: 'PATCH' }, changes: new Map() }
  }

  async function send(url: string, { path, init, changes }: Sent): Promise<boolean> {
    for (const [key, value] of changes) known(key).unconfirmed.push(value)
    const signal = AbortSignal.timeout(5000)
    const response = await fetch(`${url}/v1/${path}`, { ...init, signal }).catch(() => null)
    if (response === null || response.status >= 500) return false
    const text = await response.text().catch(() => null)
    if (text === null) return false
    if (!response.ok && response.status !== 404) throw new Error(`${path}: ${response.status} ${text}`)
    for (const [key, value] of changes) members.set(key, { acknowledged: value, unconfirmed: [] })
    acknowledged++
    return true
  }

  async function write(url: string, client: number): Promise<void> {
    for (let i = 0; !hasEnded; i++) if (!(await send(url, request(client, i)))) await Bun.sleep(20)
  }

  return {
    async run(urls) {
      hasEnded = false
      await Promise.all(urls.map(write))
    },
    end() {
      hasEnded = true
    },
    async verify(url) {
      for (const [key, { acknowledged: last, unconfirmed }] of members) {
        const response = await fetch(`${url}/v1/c/${key}`)
        const text = await response.text()
        const found = response.status === 404 ? null : text.trim()
        if (found === last || unconfirmed.includes(found)) continue
        throw new Error(`${url} has ${found} at ${key}; ${last} was acknowledged, then sent ${unconfirmed}`)
      }
    },
    acknowledged: () => acknowledged,
  }
}

function put(key: string, value: string, query: string, changes: Sent['changes']): Sent {
  return { path: `c/${key}${query}`, init: { method: 'PUT', body: value, headers: json }, changes }
}

function remove(key: string, changes: Sent['changes']): Sent {
  return { path: `c/${key}`, init: { method: 'DELETE' }, changes }
}

/** Two keys together. */
function batch(key: string, value: string): Sent {
  const other = `${key}-too`
  const operations = [key, other].map((one) => ({
    op: 'put',
    collection: 'c',
    key: one,
    value: JSON.parse(value),
  }))
  const init = { method: 'POST', body: JSON.stringify({ operations }), headers: json }
  return { path: '_batch', init, changes: new Map([key, other].map((one) => [one, value])) }
}
