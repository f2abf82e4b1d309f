import { expect } from 'bun:test'
import type { Stored } from '../../sdk/types.ts'
import { jsonOf } from './responses.ts'

/**
 * Writers of every kind that know what they were promised: single values, deletes, batches, imports, new ids. When the
 * server has gone away under them, `verify` holds what another server has against that.
 */
export interface Load {
  /** Writes until `end`, or until the server is gone. */
  run(url: string): Promise<void>
  end(): void
  /** Compares everything; throws with the difference. What turned out to be stored counts as known from here on. */
  verify(url: string): Promise<void>
  /** Writes that were acknowledged so far. */
  acknowledged(): number
  /** Answers that began and did not end. */
  brokenOff(): number
}

/** What a member may be: what was acknowledged last, or what was sent since without a response; null for absent. */
interface Known {
  acknowledged: string | null
  unsupported: (string | null)[]
}

const batchKeys = 40
const importLines = 250
const collections = ['load-a', 'load-b']

export function startLoad(random: () => number): Load {
  const members = new Map<string, Known>()
  let acknowledged = 0
  let brokenOff = 0
  let lastRevision = 0
  let ended = false

  function known(path: string): Known {
    let found = members.get(path)
    if (found === undefined) {
      found = { acknowledged: null, unsupported: [] }
      members.set(path, found)
    }
    return found
  }

  /** Sends what changes these members; false when there was no response. */
  async function attempt(
    url: string,
    path: string,
    request: RequestInit,
    changes: ReadonlyMap<string, string | null>,
  ): Promise<unknown> {
    for (const [member, value] of changes) known(member).unsupported.push(value)
    const response = await fetch(`${url}/v1/${path}`, request).catch(() => null)
    if (response === null) return false
    const text = await response.text().catch(() => null)
    if (text === null) {
      brokenOff++
      return false
    }
    // Refused for want of room, of time or of a disk that works; it may have been done all the same.
    if (response.status >= 500) return false
    if (!response.ok && response.status !== 404) throw new Error(`${path}: ${response.status} ${text}`)
    for (const [member, value] of changes) members.set(member, { acknowledged: value, unsupported: [] })
    acknowledged += changes.size
    return text === '' ? {} : JSON.parse(text)
  }

  async function putOne(url: string, writer: number, i: number): Promise<boolean> {
    const path = `${collections[writer % 2]}/single-${writer}-${Math.floor(random() * 30)}`
    if (random() < 0.2)
      return (await attempt(url, path, { method: 'DELETE' }, new Map([[path, null]]))) !== false
    const value = `{"writer": ${writer}, "i": ${i}, "pad": "${'x'.repeat(random() * 300)}"}`
    const headers = { 'content-type': 'application/json' }
    const stored = await attempt(url, path, { method: 'PUT', body: value, headers }, new Map([[path, value]]))
    if (stored === false) return false
    const { revision } = stored as Stored
    lastRevision = Math.max(lastRevision, revision)
    return true
  }

  /** All keys of a batch writer are written together, so they are always alike. */
  async function putBatch(url: string, writer: number, i: number): Promise<boolean> {
    const changes = new Map<string, string | null>()
    const value = random() < 0.1 ? null : `{"batch":${i}}`
    const operations = Array.from({ length: batchKeys }, (_, n) => {
      const collection = collections[n % 2]!
      const key = `batch-${writer}-${n}`
      changes.set(`${collection}/${key}`, value)
      return value === null
        ? { op: 'delete', collection, key }
        : { op: 'put', collection, key, value: { batch: i } }
    })
    return (
      (await attempt(url, '_batch', { method: 'POST', body: JSON.stringify({ operations }) }, changes)) !==
      false
    )
  }

  async function putLines(url: string, writer: number, i: number): Promise<boolean> {
    const changes = new Map<string, string | null>()
    let body = ''
    for (let n = 0; n < importLines; n++) {
      const key = `import-${writer}-${n}`
      changes.set(`${collections[0]}/${key}`, `[${i}]`)
      body += `{"key":"${key}","value":[${i}]}\n`
    }
    const headers = { 'content-type': 'application/x-ndjson' }
    const summary = await attempt(url, collections[0]!, { method: 'POST', body, headers }, changes)
    if (summary === false) return false
    expect(summary).toEqual({ stored: importLines, failed: [] })
    return true
  }

  async function addOne(url: string, writer: number, i: number): Promise<boolean> {
    const value = `{"posted":"${writer}-${i}"}`
    try {
      const headers = { 'content-type': 'application/json' }
      const response = await fetch(`${url}/v1/load-posted`, { method: 'POST', body: value, headers })
      const { key } = await jsonOf<Stored>(response)
      members.set(`load-posted/${key}`, { acknowledged: value, unsupported: [] })
      acknowledged++
      return true
    } catch {
      return false
    }
  }

  const kinds = [putOne, putOne, putOne, putOne, putBatch, putBatch, putLines, addOne]
  let rounds = 0

  return {
    async run(url) {
      ended = false
      const round = ++rounds
      await Promise.all(
        kinds.map(async (write, writer) => {
          for (let i = 1; !ended; i++) if (!(await write(url, writer, round * 1_000_000 + i))) return
        }),
      )
    },
    end() {
      ended = true
    },
    async verify(url) {
      const found = await everything(url)
      const wrong: string[] = []
      for (const [path, { acknowledged, unsupported }] of members) {
        const value = found.get(path) ?? null
        if (value !== acknowledged && !unsupported.includes(value)) {
          wrong.push(`${path} is ${value}, and not ${[acknowledged, ...unsupported].join(' or ')}`)
        }
        members.set(path, { acknowledged: value, unsupported: [] })
      }
      for (const [path, value] of found) {
        if (members.has(path)) continue
        // An id that was given without a response.
        if (path.startsWith('load-posted/')) members.set(path, { acknowledged: value, unsupported: [] })
        else wrong.push(`${path} was never written`)
      }
      for (const writer of [4, 5]) {
        const values = Array.from(
          { length: batchKeys },
          (_, n) => found.get(`${collections[n % 2]}/batch-${writer}-${n}`) ?? null,
        )
        if (new Set(values).size > 1) wrong.push(`half of a batch: ${[...new Set(values)].join(' and ')}`)
      }
      expect(wrong).toEqual([])
      const probe = `{"round":${rounds}}`
      const stored = await attempt(
        url,
        'load-a/probe',
        { method: 'PUT', body: probe, headers: { 'content-type': 'application/json' } },
        new Map([['load-a/probe', probe]]),
      )
      const { revision } = stored as Stored
      expect(revision).toBeGreaterThan(lastRevision)
      lastRevision = revision
    },
    acknowledged: () => acknowledged,
    brokenOff: () => brokenOff,
  }
}

/** Every member by its path, with the text of its value; checks that the counts of `GET /v1` are those. */
async function everything(url: string): Promise<Map<string, string>> {
  const found = new Map<string, string>()
  const { collections } = await jsonOf<{ collections: { name: string; members: number; bytes: number }[] }>(
    fetch(`${url}/v1`),
  )
  for (const { name, members, bytes } of collections) {
    const response = await fetch(`${url}/v1/${name}?include=values`, {
      headers: { accept: 'application/x-ndjson' },
    })
    const counted = { name, members: 0, bytes: 0 }
    for (const line of (await response.text()).split('\n')) {
      if (line === '') continue
      const { key }: { key: string } = JSON.parse(line)
      const value = line.slice(`{"key":${JSON.stringify(key)},"value":`.length, -',"expires_at":null}'.length)
      found.set(`${name}/${key}`, value)
      counted.members++
      counted.bytes += Buffer.byteLength(key) + Buffer.byteLength(value)
    }
    expect(counted).toEqual({ name, members, bytes })
  }
  return found
}

/** Random numbers that a seed decides (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
