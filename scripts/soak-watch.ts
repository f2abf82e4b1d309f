/**
 * Do watchers that come and go leave anything behind? Opens and leaves a hundred thousand streams of a server of its
 * own, in every way that clients leave, and prints what is still open and how much memory the server has.
 * `npm run soak:watch -- CONNECTS`; exits with 1 when something stays.
 */
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { parseSamples, sampleOf } from '../test/support/prometheus.ts'
import { rawWatch } from '../test/support/raw-watch.ts'
import { startServer } from '../test/support/server.ts'

const connects = Number(process.argv[2] ?? 100_000)
const atOnce = 50
const parts = 5
/** What the memory may grow by after the first part; of all that follow, a tenth that stays would be as much. */
const allowedMb = 60
const settleMs = 3000
const paths = ['/v1/c/k', '/v1/c', '/v1/_changes', '/v1/_changes?since=0']

const server = await startServer()

function put(value: string): Promise<Response> {
  // Connections that are kept for the next request would count.
  return fetch(`${server.url}/v1/c/k`, { method: 'PUT', body: value, headers: { connection: 'close' } })
}

/** In turn: without a word while it watches, politely, within an answer, and before there is one. */
const leaving: readonly ((path: string) => Promise<void>)[] = [
  async (path) => (await rawWatch(server.port, path)).destroy(),
  async (path) => {
    const watch = await rawWatch(server.port, path)
    watch.end()
    await watch.closed
  },
  async (path) => {
    const watch = await rawWatch(server.port, path)
    await put('"more"')
    watch.destroy()
  },
  (path) =>
    new Promise((resolve) => {
      const socket = connect(server.port, '127.0.0.1', () => {
        socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n`, () =>
          socket.destroy(),
        )
      })
      socket.on('error', () => {})
      socket.on('close', () => resolve())
    }),
]

async function comeAndGo(count: number): Promise<void> {
  let left = count
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      while (left > 0) {
        const turn = left--
        await leaving[turn % leaving.length]!(paths[Math.floor(turn / leaving.length) % paths.length]!)
      }
    }),
  )
}

async function look(done: number): Promise<{ open: number; mb: number }> {
  await Bun.sleep(settleMs)
  const samples = parseSamples(await (await fetch(`${server.url}/metrics`)).text())
  const watches = ['member', 'collection', 'store'].map((kind) =>
    sampleOf(samples, 'kvist_open_watches', { kind }),
  )
  const requests = sampleOf(samples, 'kvist_open_requests')!
  const connections = sampleOf(samples, 'kvist_open_connections', { protocol: 'http' })
  const status = readFileSync(`/proc/${server.pid}/status`, 'utf8')
  const mb = Number(/VmRSS:\s+(\d+)/.exec(status)![1]) / 1024
  console.log(
    `${done} connects: watches ${watches.join(' + ')}, requests ${requests}, connections ${connections}, ${mb.toFixed(1)} MB`,
  )
  // The one that asks is a request itself.
  return { open: watches.reduce<number>((sum, count) => sum + count!, 0) + requests - 1, mb }
}

try {
  await put('"first"')
  await look(0)
  await comeAndGo(connects / parts)
  const first = await look(connects / parts)
  let last = first
  for (let part = 2; part <= parts; part++) {
    await comeAndGo(connects / parts)
    last = await look((connects / parts) * part)
  }
  const stays = last.open > 0 || last.mb - first.mb > allowedMb
  console.log(stays ? 'something stays behind' : 'nothing stays behind')
  process.exitCode = stays ? 1 : 0
} finally {
  await server.remove()
}
