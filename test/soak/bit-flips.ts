import { cpSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Random } from '../support/random.ts'
import { newFolder, startServer, type TestServer } from '../support/server.ts'
import { type Fault, repeatFor } from './fault.ts'

/** Bits of the data files flip while no server runs: each member is read as it was written, or not without an error. */
export const bitFlips: Fault = {
  name: 'bit-flips',
  does: 'flipped bits all over log and tables; every member is right or an error, at start or when it is read',
  async round({ random, budgetMs }) {
    const original = newFolder()
    const figures = { flips: 0, refused: 0, right: 0, errors: 0 }
    try {
      const expected = await fill(original, random)
      await repeatFor(budgetMs, async () => {
        const damaged = newFolder()
        cpSync(original, damaged, { recursive: true })
        try {
          figures.flips += flipSome(damaged, random)
          const server = await startServer({ dataFolder: damaged }).catch(() => null)
          if (server === null) {
            figures.refused++
            return
          }
          const { right, errors } = await compare(server, expected).finally(() => server.crash())
          figures.right += right
          figures.errors += errors
        } finally {
          rmSync(damaged, { recursive: true, force: true })
        }
      })
      return figures
    } finally {
      rmSync(original, { recursive: true, force: true })
    }
  },
}

const memberCount = 300

/** A part of the members is in the tables when the server is killed, the others in the log alone. */
async function fill(dataFolder: string, random: Random): Promise<Map<string, string>> {
  const expected = new Map<string, string>()
  for (const part of [0, 1]) {
    const server = await startServer({ dataFolder })
    for (let i = 0; i < memberCount / 2; i++) {
      const key = `${part}-${i}`
      const value = JSON.stringify({ i, text: 'x'.repeat(random.oneIn(30) ? 40_000 : random.int(300)) })
      const response = await fetch(`${server.url}/v1/flipped/${key}`, { method: 'PUT', body: value })
      if (!response.ok) throw new Error(`${key}: ${response.status} ${await response.text()}`)
      expected.set(key, value)
    }
    // What comes last in the log cannot be distinguished from a write that a power cut tore, so nothing is expected of it.
    if (part === 1) await fetch(`${server.url}/v1/last/k`, { method: 'PUT', body: '1' })
    if (part === 0) await server.stop()
    else await server.crash()
  }
  return expected
}

function flipSome(folder: string, random: Random): number {
  const files = readdirSync(folder)
    .map((name) => join(folder, name))
    .filter((path) => statSync(path).isFile() && statSync(path).size > 0)
  const count = 1 + random.int(3)
  for (let i = 0; i < count; i++) {
    const path = random.pick(files)
    const bytes = readFileSync(path)
    // Most of a segment of the log has not been written to.
    const end = random.oneIn(4) ? bytes.length : writtenBytes(bytes)
    const at = random.int(Math.max(1, end))
    bytes[at] = bytes[at]! ^ (1 << random.int(8))
    writeFileSync(path, bytes)
  }
  return count
}

function writtenBytes(bytes: Buffer): number {
  let end = bytes.length
  while (end > 0 && bytes[end - 1] === 0) end--
  return end
}

/** Reads every member by itself and by lists in both orders. Throws when one is wrong, or missing without an error. */
async function compare(
  server: TestServer,
  expected: ReadonlyMap<string, string>,
): Promise<{ right: number; errors: number }> {
  let right = 0
  let errors = 0
  for (const [key, value] of expected) {
    const response = await fetch(`${server.url}/v1/flipped/${key}`)
    const body = await response.text()
    if (response.status >= 500) errors++
    else if (response.status === 200 && body === value) right++
    else throw new Error(`${key} gets ${response.status} ${body.slice(0, 200)}`)
  }
  for (const order of ['asc', 'desc']) {
    const found = await listAll(server, order)
    if (found === null) errors++
    else if (found.size !== expected.size)
      throw new Error(`a list has ${found.size} of ${expected.size} members`)
    for (const [key, value] of found ?? [])
      if (expected.get(key) !== value) throw new Error(`${key} is wrong in a list`)
  }
  return { right, errors }
}

/** Null where a page is an error. */
async function listAll(server: TestServer, order: string): Promise<Map<string, string> | null> {
  const found = new Map<string, string>()
  let cursor = ''
  do {
    const query = `order=${order}&limit=50&include=values${cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`}`
    const response = await fetch(`${server.url}/v1/flipped?${query}`)
    if (response.status >= 500) return null
    const page = (await response.json()) as {
      members: { key: string; value: unknown }[]
      next: string | null
    }
    for (const { key, value } of page.members) found.set(key, JSON.stringify(value))
    cursor = page.next ?? ''
  } while (cursor !== '')
  return found
}
