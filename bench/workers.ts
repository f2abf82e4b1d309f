/**
 * Measures what several threads on one port would cost (docs/design/workers.md): how connections spread over threads, and
 * the processor time of handing a put to another thread and its result back. The threads run this same file.
 */
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'

interface Task {
  readonly kind: 'listen' | 'post' | 'shared'
  readonly port: number
  readonly thread: number
  /** Connections of each thread, or the counts of requests and responses. */
  readonly counts: Int32Array
  /** The put or its result, while they are handed over as bytes. */
  readonly bytes: Uint8Array
}

const batches = [1, 8, 16, 64]
const rounds = 4000
const warmUpRounds = 1000
const key = 'k123456'
const value = JSON.stringify({ text: 'x'.repeat(88) })
const result = { revision: 123_456, createdAtMs: 1_790_000_000_000, existed: true }
const resultBytes = 16
const requestBytes = key.length + value.length

function newTask(kind: Task['kind'], port = 0, thread = 0): Task {
  const counts = new Int32Array(new SharedArrayBuffer(4 * 64))
  return { kind, port, thread, counts, bytes: new Uint8Array(new SharedArrayBuffer(65_536)) }
}

function start(task: Task): Worker {
  return new Worker(import.meta.filename, { workerData: task })
}

/** Waits until a count differs from `seen`, and returns it. */
async function changed(counts: Int32Array, index: number, seen: number): Promise<number> {
  const waiting = Atomics.waitAsync(counts, index, seen)
  if (waiting.async) await waiting.value
  return Atomics.load(counts, index)
}

function count(counts: Int32Array, index: number): void {
  Atomics.add(counts, index, 1)
  Atomics.notify(counts, index)
}

/** What the other thread does: accepts connections, or responds to puts until it is ended. */
async function serve({ kind, port, thread, counts, bytes }: Task): Promise<void> {
  if (kind === 'listen') {
    const socket = { open: () => void Atomics.add(counts, thread, 1), data() {} }
    // A variable, because the types do not know `reusePort`.
    const options = { hostname: '127.0.0.1', port, reusePort: true, socket }
    Bun.listen(options)
    parentPort!.postMessage('listening')
  } else if (kind === 'post') {
    parentPort!.on('message', (puts: readonly unknown[]) => parentPort!.postMessage(puts.map(() => result)))
  } else {
    const buffer = Buffer.from(bytes.buffer)
    setInterval(() => {}, 1000) // to wait for a count keeps no thread alive
    for (let seen = 0; ; ) {
      seen = await changed(counts, 0, seen)
      const puts = buffer.readInt32LE(0)
      for (let i = 0, at = 4; i < puts; i++, at += requestBytes) {
        buffer.toString('latin1', at, at + key.length)
        buffer.toString('latin1', at + key.length, at + requestBytes)
      }
      for (let i = 0; i < puts; i++) buffer.writeDoubleLE(result.revision, 4 + i * resultBytes)
      count(counts, 1)
    }
  }
}

async function post(worker: Worker, puts: number): Promise<void> {
  const done = new Promise((resolve) => worker.once('message', resolve))
  worker.postMessage(Array.from({ length: puts }, () => ({ collection: 'c', key, value })))
  await done
}

async function share({ counts, bytes }: Task, puts: number): Promise<void> {
  const buffer = Buffer.from(bytes.buffer)
  buffer.writeInt32LE(puts, 0)
  for (let i = 0, at = 4; i < puts; i++, at += requestBytes) buffer.write(key + value, at, 'latin1')
  const seen = Atomics.load(counts, 1)
  count(counts, 0)
  await changed(counts, 1, seen)
  for (let i = 0; i < puts; i++) buffer.readDoubleLE(4 + i * resultBytes)
}

/** Returns the processor time of both threads for each put, in µs. */
async function microseconds(exchange: () => Promise<void>, puts: number): Promise<number> {
  for (let i = 0; i < warmUpRounds; i++) await exchange()
  const before = process.cpuUsage()
  for (let i = 0; i < rounds; i++) await exchange()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / rounds / puts
}

async function measureHandingOver(): Promise<void> {
  console.log('| puts in a message | postMessage, µs of processor a put | shared memory |')
  console.log('| --: | --: | --: |')
  for (const puts of batches) {
    const tasks = [newTask('post'), newTask('shared')] as const
    const workers = tasks.map(start)
    const posted = await microseconds(() => post(workers[0]!, puts), puts)
    const shared = await microseconds(() => share(tasks[1], puts), puts)
    console.log(`| ${puts} | ${posted.toFixed(1)} | ${shared.toFixed(1)} |`)
    await Promise.all(workers.map((worker) => worker.terminate()))
  }
}

async function measureSpread(threads: number, connections: number): Promise<void> {
  const port = 17_851
  const { counts } = newTask('listen')
  const workers: Worker[] = []
  for (let thread = 0; thread < threads; thread++) {
    const worker = start({ ...newTask('listen', port, thread), counts })
    workers.push(worker)
    await new Promise((resolve) => worker.once('message', resolve))
  }
  const opened = Array.from({ length: connections }, () =>
    Bun.connect({ hostname: '127.0.0.1', port, socket: { data() {} } }),
  )
  const sockets = await Promise.all(opened)
  while (counts.reduce((sum, one) => sum + one) < connections) await Bun.sleep(10)
  console.log(`${connections} connections on ${threads} threads: ${counts.slice(0, threads).join(' ')}`)
  for (const socket of sockets) socket.terminate()
  await Promise.all(workers.map((worker) => worker.terminate()))
}

if (isMainThread) {
  setInterval(() => {}, 1000)
  await measureHandingOver()
  for (const connections of [64, 1024]) await measureSpread(8, connections)
  process.exit(0)
} else await serve(workerData)
