import { jsonOf, keyOf, ndjson, redisCommands } from './members.ts'
import { track } from './process.ts'

/** Imports and exports many members, with each contestant's quickest method. All of them stream. */

const newline = 10
const etcdPutsPerTransaction = 1000
const etcdTransactionsAtOnce = 4

/** Imports with one POST of NDJSON, generated while it is sent. */
export async function importIntoKvist(port: number, members: number): Promise<void> {
  const reply = await fetch(`http://127.0.0.1:${port}/v1/bench`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson' },
    body: streamOf(ndjson(members)),
  })
  const summary = await reply.text()
  if (!reply.ok || !summary.includes(`"stored":${members}`)) {
    throw new Error(`import responded ${reply.status}: ${summary.slice(0, 300)}`)
  }
}

/** Reads the collection as NDJSON and counts its lines. */
export async function exportFromKvist(port: number, members: number): Promise<void> {
  const reply = await fetch(`http://127.0.0.1:${port}/v1/bench`, {
    headers: { accept: 'application/x-ndjson' },
  })
  if (reply.status !== 200 || reply.body === null) throw new Error(`export responded ${reply.status}`)
  let lines = 0
  let lastByte = newline
  for await (const chunk of reply.body) {
    for (let at = chunk.indexOf(newline); at >= 0; at = chunk.indexOf(newline, at + 1)) lines++
    lastByte = chunk.at(-1) ?? lastByte
  }
  if (lines !== members || lastByte !== newline) throw new Error(`export gave ${lines} lines of ${members}`)
}

export async function importIntoRedis(port: number, members: number): Promise<void> {
  const child = track(Bun.spawn(['redis-cli', '-p', `${port}`, '--pipe'], { stdin: 'pipe', stdout: 'pipe' }))
  for (const chunk of redisCommands(members)) {
    child.stdin.write(chunk)
    await child.stdin.flush()
  }
  await child.stdin.end()
  const out = await child.stdout.text()
  if (!out.includes(`errors: 0, replies: ${members}`)) throw new Error(`redis-cli --pipe said: ${out}`)
}

/** Imports with transactions of a thousand puts, four at once. */
export async function importIntoEtcd(port: number, members: number): Promise<void> {
  let next = 0
  async function sender(): Promise<void> {
    while (next < members) {
      const from = next
      next = Math.min(members, from + etcdPutsPerTransaction)
      const body = transaction(from, next)
      const reply = await fetch(`http://127.0.0.1:${port}/v3/kv/txn`, { method: 'POST', body })
      const text = await reply.text()
      if (reply.status !== 200) throw new Error(`etcd responded ${reply.status}: ${text.slice(0, 300)}`)
    }
  }
  await Promise.all(Array.from({ length: etcdTransactionsAtOnce }, sender))
}

function transaction(from: number, to: number): string {
  const puts = Array.from({ length: to - from }, (_, offset) => {
    const key = Buffer.from(keyOf(from + offset)).toString('base64')
    const value = Buffer.from(jsonOf(from + offset)).toString('base64')
    return `{"requestPut":{"key":"${key}","value":"${value}"}}`
  })
  return `{"success":[${puts.join(',')}]}`
}

/** Returns a stream that generates a chunk when the connection has taken the previous one. */
function streamOf(chunks: Iterator<Uint8Array>): ReadableStream<Uint8Array> {
  return new ReadableStream({
    pull(controller) {
      const { done, value } = chunks.next()
      if (done) controller.close()
      else controller.enqueue(value)
    },
  })
}
