/**
 * The client of bench/memcached.ts. It opens several connections, each of which sends its next request when the
 * response to the previous one has arrived. Argument: the JSON of a ClientRun; prints the JSON of ClientFigures. The
 * length of every response is checked, and every byte of the first one of each connection.
 */
import { jsonOf, keyOf } from './members.ts'

export interface ClientRun {
  readonly port: number
  /** `fill` stores every member once and measures nothing; `read` is `POST /v1/_read`, `put` a PUT over HTTP. */
  readonly kind: 'fill' | 'get' | 'multiget' | 'gets' | 'sets' | 'read' | 'put'
  readonly connections: number
  /** Members in one request. */
  readonly perRequest: number
  readonly members: number
  readonly seconds: number
  readonly seed: number
}

export interface ClientFigures {
  /** Members, not requests. */
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
}

interface Exchange {
  readonly request: Buffer
  readonly reply: string
  /** The values of a read over HTTP, whose response has revisions and times that are not known in advance; none of a PUT. */
  readonly values?: readonly string[]
}

interface State {
  next: number
  exchange: Exchange
  received: number
  /** The length of the current response, over HTTP. */
  expected: number
  /** The received part of the first response; null once that was checked. */
  first: string | null
  sentAtMs: number
  unsent: Buffer
}

/** Requests that are generated in advance: a client that generates them while it measures would measure itself. */
const preparedRequests = 4000
const warmupMs = 1000
const maxTimes = 4_000_000

const run: ClientRun = JSON.parse(process.argv[2] ?? '{}')

let random = run.seed
function anyMember(): number {
  random = (Math.imul(random, 1_664_525) + 1_013_904_223) >>> 0
  return Math.floor((random / 2 ** 32) * run.members)
}

function setOf(index: number): string {
  const value = jsonOf(index)
  return `set ${keyOf(index)} 0 0 ${value.length}\r\n${value}\r\n`
}

function foundOf(index: number): string {
  const value = jsonOf(index)
  return `VALUE ${keyOf(index)} 0 ${value.length}\r\n${value}\r\n`
}

function readOf(indexes: readonly number[]): Buffer {
  const refs = indexes.map((index) => ({ collection: 'cache', key: keyOf(index) }))
  const body = JSON.stringify({ members: refs })
  const head = `POST /v1/_read HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n`
  return Buffer.from(`${head}Content-Length: ${body.length}\r\n\r\n${body}`)
}

function putOf(index: number): Buffer {
  const value = jsonOf(index)
  const head = `PUT /v1/cache/${keyOf(index)} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n`
  return Buffer.from(`${head}Content-Length: ${value.length}\r\n\r\n${value}`)
}

function exchangeOf(indexes: readonly number[]): Exchange {
  switch (run.kind) {
    case 'fill':
    case 'sets':
      return {
        request: Buffer.from(indexes.map(setOf).join('')),
        reply: 'STORED\r\n'.repeat(indexes.length),
      }
    case 'get':
    case 'multiget':
      return {
        request: Buffer.from(`get ${indexes.map(keyOf).join(' ')}\r\n`),
        reply: `${indexes.map(foundOf).join('')}END\r\n`,
      }
    case 'gets':
      return {
        request: Buffer.from(indexes.map((index) => `get ${keyOf(index)}\r\n`).join('')),
        reply: indexes.map((index) => `${foundOf(index)}END\r\n`).join(''),
      }
    case 'read':
      return { request: readOf(indexes), reply: '', values: indexes.map(jsonOf) }
    case 'put':
      return { request: putOf(indexes[0]!), reply: '', values: [] }
  }
}

const times = new Float64Array(maxTimes)
let responded = 0
let measuring = false

function send(socket: Bun.Socket<State>, bytes: Buffer): void {
  socket.data.unsent = bytes.subarray(socket.write(bytes))
}

function begin(socket: Bun.Socket<State>, exchange: Exchange): void {
  const { data } = socket
  data.exchange = exchange
  data.received = 0
  data.sentAtMs = performance.now()
  send(socket, exchange.request)
}

/** Records received bytes and returns whether the response is complete. */
function take(data: State, bytes: Buffer): boolean {
  const isComplete = data.exchange.values === undefined ? takeText(data, bytes) : takeHttp(data, bytes)
  if (isComplete && measuring) {
    if (responded < maxTimes) times[responded] = performance.now() - data.sentAtMs
    responded++
  }
  return isComplete
}

/** Records the bytes of an HTTP response, whose length is in its head; the values of the first one are checked. */
function takeHttp(data: State, bytes: Buffer): boolean {
  if (data.received === 0) data.expected = lengthOf(bytes)
  data.received += bytes.length
  if (data.first !== null) data.first += bytes.toString('latin1')
  if (data.received > data.expected) fail('a response is too long')
  if (data.received < data.expected) return false
  if (data.first !== null) {
    const { members = [] } = JSON.parse(data.first.slice(data.first.indexOf('\r\n\r\n')))
    const values = members.map(({ value }: { value: unknown }) => JSON.stringify(value))
    if (!data.first.startsWith('HTTP/1.1 20') || !Bun.deepEquals(values, data.exchange.values))
      fail(`the response is wrong: ${data.first.slice(0, 600)}`)
    data.first = null
  }
  return true
}

/** Returns the length of the response that begins here, with its head. */
function lengthOf(bytes: Buffer): number {
  const headBytes = bytes.indexOf('\r\n\r\n') + 4
  const [, length] = /\r\nContent-Length: (\d+)/.exec(bytes.toString('latin1', 0, headBytes)) ?? []
  if (length === undefined) fail(`this is no response: ${bytes.toString('latin1', 0, 300)}`)
  return headBytes + Number(length)
}

function takeText(data: State, bytes: Buffer): boolean {
  data.received += bytes.length
  const { reply } = data.exchange
  if (data.first !== null) {
    data.first += bytes.toString('latin1')
    if (!reply.startsWith(data.first)) fail(`the response is wrong: ${data.first.slice(0, 300)}`)
    if (data.received === reply.length) data.first = null
  }
  if (data.received > reply.length) fail(`a response is too long: ${bytes.toString('latin1').slice(0, 300)}`)
  return data.received === reply.length
}

function fail(why: string): never {
  process.stderr.write(`${why}\n`)
  process.exit(1)
}

async function connect(
  exchanges: readonly Exchange[],
  from: number,
  onReply: (socket: Bun.Socket<State>) => void,
) {
  const exchange = exchanges[from % exchanges.length]!
  const data = {
    next: from,
    exchange,
    received: 0,
    expected: 0,
    first: '',
    sentAtMs: 0,
    unsent: Buffer.alloc(0),
  }
  return await Bun.connect<State>({
    hostname: '127.0.0.1',
    port: run.port,
    data,
    socket: {
      open: (socket) => begin(socket, exchange),
      data(socket, bytes) {
        if (take(socket.data, bytes)) onReply(socket)
      },
      drain: (socket) => send(socket, socket.data.unsent),
      close: () => fail('the server has closed'),
      error: (_socket, error) => fail(String(error)),
    },
  })
}

async function fill(): Promise<void> {
  const exchanges: Exchange[] = []
  for (let from = 0; from < run.members; from += run.perRequest) {
    const length = Math.min(run.perRequest, run.members - from)
    exchanges.push(exchangeOf(Array.from({ length }, (_, i) => from + i)))
  }
  await new Promise<void>((resolve) => {
    void connect(exchanges, 0, (socket) => {
      const exchange = exchanges[++socket.data.next]
      if (exchange === undefined) resolve()
      else begin(socket, exchange)
    })
  })
}

async function measure(): Promise<ClientFigures> {
  const exchanges = Array.from({ length: preparedRequests }, () =>
    exchangeOf(Array.from({ length: run.perRequest }, anyMember)),
  )
  for (let i = 0; i < run.connections; i++) {
    const apart = Math.floor((i * preparedRequests) / run.connections)
    await connect(exchanges, apart, (socket) =>
      begin(socket, exchanges[++socket.data.next % preparedRequests]!),
    )
  }
  await Bun.sleep(warmupMs)
  measuring = true
  const startedAtMs = performance.now()
  await Bun.sleep(run.seconds * 1000)
  const seconds = (performance.now() - startedAtMs) / 1000
  const sorted = times.subarray(0, Math.min(responded, maxTimes)).sort()
  const at = (part: number) => sorted[Math.floor((sorted.length - 1) * part)] ?? Number.NaN
  return { perSecond: (responded * run.perRequest) / seconds, p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1) }
}

if (run.kind === 'fill') await fill()
else process.stdout.write(JSON.stringify(await measure()))
process.exit(0)
