/**
 * Checks that watchers leave nothing behind: starts a server, opens and closes a hundred thousand streams in every way
 * that clients disconnect, and prints what is still open and the memory of the server. `npm run
 * soak:watch -- CONNECTS`; exits with 1 if something is left open.
 */
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { parseSamples, sampleOf } from '../test/support/prometheus.ts'
import { rawWatch } from '../test/support/raw-watch.ts'
import { startServer } from '../test/support/server.ts'

const connects = Number(process.argv[2] ?? 100_000)
const atOnce = 50
const parts = 5
/** Megabytes that the memory may grow after the first part; a leak of a tenth of the later streams would be as much. */
const allowedMb = 60
const settleMs = 3000
const paths = ['/v1/c/k', '/v1/c', '/v1/_changes', '/v1/_changes?since=0']

const server = await startServer()

function put(value: string): Promise<Response> {
  // Connections kept alive for the next request would count.
  return fetch(`${server.url}/v1/c/k`, { method: 'PUT', body: value, headers: { connection: 'close' } })
}

/** Ways to disconnect, used in turn: abruptly while watching, gracefully, within a response, and before a response. */
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
  // The request for the metrics counts itself.
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
