/**
 * The watchers of bench/watch.ts, many connections in their own process. Argument: the JSON of a WatchRun. Prints
 * `open` when the server has confirmed every watch. Then each line of input is a WatchOrder, to which it prints a line
 * of WatchFigures since the previous one; it ends with its input.
 */
import { eventReader } from './event-reader.ts'
import { wallClockMs } from './watch-changes.ts'

export interface WatchRun {
  readonly port: number
  /** Watcher n watches the member at this path with the number `n % keys` appended. */
  readonly path: string
  readonly keys: number
  readonly watchers: number
}

/** Waits until `events` events have arrived, or none for a while. */
export interface WatchOrder {
  readonly events: number
}

export interface WatchFigures {
  readonly received: number
  /** Events whose revision was not above that of the previous one, and events other than puts. */
  readonly wrong: number
  /** From sending the PUT until the event was read here. */
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
  /** The share of one core, since the previous figures. */
  readonly processorShare: number
}

interface Watcher {
  readonly read: (wire: string) => void
  unsent: Buffer
}

const atOnce = 200
const silenceMs = 10_000
const maxTimes = 8_000_000

const run: WatchRun = JSON.parse(process.argv[2] ?? '{}')
const times = new Float64Array(maxTimes)
let received = 0
let wrong = 0

function fail(why: unknown): never {
  process.stderr.write(`${why instanceof Error ? why.message : why}\n`)
  process.exit(1)
}

function numberAfter(block: string, name: string): number {
  return Number.parseFloat(block.slice(block.indexOf(name) + name.length))
}

/** Returns the handler of one watcher's blocks; `watching` is called when the server confirms the watch. */
function listener(watching: () => void): (block: string) => void {
  let last = -1
  return (block) => {
    if (block.startsWith('event: put\n')) {
      const revision = numberAfter(block, '"revision":')
      if (received < maxTimes) times[received] = wallClockMs() - numberAfter(block, '"sent_at_ms":')
      received++
      if (!(revision > last)) wrong++
      last = revision
    } else if (block.startsWith(': watching')) watching()
    else if (!block.startsWith(':')) wrong++
  }
}

function send(socket: Bun.Socket<Watcher>, bytes: Buffer): void {
  socket.data.unsent = bytes.subarray(socket.write(bytes))
}

const handlers: Bun.SocketHandler<Watcher> = {
  data(socket, bytes) {
    try {
      socket.data.read(bytes.toString('latin1'))
    } catch (error) {
      fail(error)
    }
  },
  drain: (socket) => send(socket, socket.data.unsent),
  close: () => fail('the server has closed a watcher'),
  error: (_socket, error) => fail(error),
}

function open(index: number): Promise<void> {
  const path = `${run.path}${index % run.keys}`
  const request = `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${run.port}\r\nAccept: text/event-stream\r\n\r\n`
  return new Promise((watching) => {
    const data = { read: eventReader(listener(watching)), unsent: Buffer.alloc(0) }
    Bun.connect({ hostname: '127.0.0.1', port: run.port, data, socket: handlers }).then(
      (socket) => send(socket, Buffer.from(request)),
      fail,
    )
  })
}

/** Resolves when `events` events have arrived, or none for a while. */
async function waitFor(events: number): Promise<void> {
  let seen = received
  let seenAtMs = performance.now()
  while (received < events && performance.now() - seenAtMs < silenceMs) {
    await Bun.sleep(10)
    if (received > seen) {
      seen = received
      seenAtMs = performance.now()
    }
  }
}

let usedMicroseconds = 0
let sinceMs = performance.now()

function figures(): WatchFigures {
  const sorted = times.subarray(0, Math.min(received, maxTimes)).sort()
  const at = (part: number) => sorted[Math.floor((sorted.length - 1) * part)] ?? Number.NaN
  const { user, system } = process.cpuUsage()
  const found = {
    received,
    wrong,
    ...{ p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1) },
    processorShare: (user + system - usedMicroseconds) / 1000 / (performance.now() - sinceMs),
  }
  received = 0
  wrong = 0
  begin()
  return found
}

function begin(): void {
  const { user, system } = process.cpuUsage()
  usedMicroseconds = user + system
  sinceMs = performance.now()
}

for (let from = 0; from < run.watchers; from += atOnce) {
  const length = Math.min(atOnce, run.watchers - from)
  await Promise.all(Array.from({ length }, (_, offset) => open(from + offset)))
}
begin()
process.stdout.write('open\n')
for await (const line of console) {
  const order: WatchOrder = JSON.parse(line)
  await waitFor(order.events)
  process.stdout.write(`${JSON.stringify(figures())}\n`)
}
process.exit(0)
