import { expect } from 'bun:test'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'
import { checkProblem } from './responses.ts'
import { tlsFolder } from './server.ts'

/**
 * A client that sends the bytes it is given, and reads responses as strictly as a server should read requests: what no
 * answer of HTTP/1.1 may look like is an error, wherever a test meets it (RFC 9112, 4 to 7; RFC 9110, 6.6.1 and 8.6).
 */

/** A response, whole. */
export interface WireResponse {
  readonly status: number
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
  /** How the end of the body was marked; `none` where the status or HEAD leaves it out. */
  readonly framing: 'length' | 'chunked' | 'close' | 'none'
  /** The interim responses that came before. */
  readonly interim: readonly number[]
}

export interface Wire {
  readonly localPort: number
  write(bytes: string | Uint8Array): void
  /** Resolves when all that was written is on its way. */
  flushed(): Promise<void>
  /** Says that nothing more will come, and goes on reading, as `nc -N` does. Not while paused. */
  end(): void
  /** Takes the next response. Throws when the connection ends before that is whole. */
  response(method?: string): Promise<WireResponse>
  /** Takes the next response, which must be an interim one: its status. */
  interim(): Promise<number>
  /** All bytes so far. */
  received(): number
  /** Stops reading, from the kernel too. */
  pause(): void
  /** Stops when the next bytes have come. Unlike `pause`, goes together with `end`. */
  pauseSoon(): void
  resume(): void
  /** Goes away without a word. */
  destroy(): void
  /** The server has closed; not noticed while paused. */
  readonly closed: Promise<'ended' | 'reset'>
  /** What came and was not taken as a response. */
  rest(): Buffer
}

/** The server has ended the connection in order, and has sent nothing that was not asked for. */
export async function expectEnded(wire: Wire): Promise<void> {
  expect(await wire.closed).toBe('ended')
  expect(wire.rest().toString('latin1')).toBe('')
}

/** The next response is that to what cannot be read: a problem, and the end of the connection. */
export async function expectRefusal(wire: Wire, status: number): Promise<void> {
  const reply = await wire.response()
  const { headers, body } = reply
  checkProblem({ ...reply, type: headers['content-type'], text: body.toString() }, status, 'invalid_request')
  expect(headers.connection).toBe('close')
  await expectEnded(wire)
}

const usualTls: ConnectionOptions | undefined =
  tlsFolder === undefined ? undefined : { ca: readFileSync(join(tlsFolder, 'authority.pem')) }

/** Opens a connection, with TLS where its options are given. */
export function openWire(port: number, tls = usualTls): Promise<Wire> {
  const input = inputQueue()
  let received = 0
  let lastWritten = ''
  const to = { port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true }
  const socket = tls === undefined ? connect(to) : connectTls({ ...to, ...tls })
  const closed = new Promise<'ended' | 'reset'>((resolve) => {
    const over = (how: 'ended' | 'reset') => {
      input.close()
      resolve(how)
    }
    socket.on('end', () => {
      over('ended')
      socket.end()
    })
    socket.on('error', () => over('reset'))
    socket.on('close', () => over('ended'))
  })
  socket.on('data', (part: Buffer) => {
    received += part.length
    input.push(part)
  })
  const wire: Wire = {
    get localPort() {
      return socket.localPort ?? 0
    },
    write(bytes) {
      lastWritten = Buffer.from(bytes.slice(0, 200)).toString('latin1')
      socket.write(bytes)
    },
    flushed: () => new Promise((resolve) => socket.write('', () => resolve())),
    end: () => void socket.end(),
    async response(method = 'GET') {
      try {
        return await readReply(input, method)
      } catch (error) {
        throw new Error(`after ${JSON.stringify(lastWritten)}`, { cause: error })
      }
    },
    async interim() {
      const { status } = parseHead(await input.until('\r\n\r\n', 'an interim response'))
      if (status >= 200) throw new Error(`a final response: ${status}`)
      return status
    },
    received: () => received,
    pause: () => void socket.pause(),
    pauseSoon: () => void socket.once('data', () => socket.pause()),
    resume: () => void socket.resume(),
    destroy: () => void socket.destroy(),
    closed,
    rest: input.rest,
  }
  return new Promise((resolve, reject) => {
    socket.on(tls === undefined ? 'connect' : 'secureConnect', () => resolve(wire))
    socket.on('error', reject)
    socket.on('close', () => reject(new Error('the connection was closed')))
  })
}

type Input = ReturnType<typeof inputQueue>

/** Bytes in the order they came, to be taken as they are needed. */
function inputQueue() {
  let parts: Buffer[] = []
  let isClosed = false
  let wake = () => {}

  async function more(what: string): Promise<void> {
    if (isClosed) throw new Error(`the connection ended within ${what}: ${rest().toString('latin1', 0, 300)}`)
    await new Promise<void>((resolve) => {
      wake = resolve
    })
  }

  function rest(): Buffer {
    return Buffer.concat(parts)
  }

  return {
    rest,
    push(part: Buffer) {
      parts.push(part)
      wake()
    },
    close() {
      isClosed = true
      wake()
    },
    /** Up to a mark, and without it. */
    async until(mark: string, what: string): Promise<string> {
      for (;;) {
        const end = parts[0]?.indexOf(mark) ?? -1
        if (end !== -1) {
          const text = parts[0]!.toString('latin1', 0, end)
          parts[0] = parts[0]!.subarray(end + mark.length)
          return text
        }
        if (parts.length < 2) await more(what)
        if (parts.length > 1) parts = [Buffer.concat(parts.slice(0, 2)), ...parts.slice(2)]
      }
    },
    async bytes(length: number, what: string): Promise<Buffer> {
      const taken = Buffer.allocUnsafe(length)
      let at = 0
      let used = 0
      while (at < length) {
        const part = parts[used]
        if (part === undefined) {
          parts = []
          used = 0
          await more(`${what}, after ${at} of ${length} bytes`)
          continue
        }
        const count = Math.min(part.length, length - at)
        part.copy(taken, at, 0, count)
        at += count
        if (count === part.length) used++
        else parts[used] = part.subarray(count)
      }
      parts.splice(0, used)
      return taken
    },
    async toEnd(): Promise<Buffer> {
      while (!isClosed) await more('a body')
      const all = rest()
      parts = []
      return all
    },
  }
}

async function readReply(input: Input, method: string): Promise<WireResponse> {
  const interim: number[] = []
  for (;;) {
    const { status, headers } = parseHead(await input.until('\r\n\r\n', 'a head'))
    if (status >= 200) {
      checkDate(headers.date)
      return { status, headers, interim, ...(await readBody(input, method, status, headers)) }
    }
    if (Object.keys(headers).length > 0) throw new Error(`a ${status} with headers`)
    interim.push(status)
  }
}

function parseHead(text: string): Pick<WireResponse, 'status' | 'headers'> {
  const [first = '', ...lines] = text.split('\r\n')
  const [, status] = /^HTTP\/1\.1 ([1-5]\d\d) [\x20-\x7e]*$/.exec(first) ?? []
  if (status === undefined) throw new Error(`no status line: ${JSON.stringify(text.slice(0, 300))}`)
  const headers: Record<string, string> = {}
  for (const line of lines) {
    const [, name, value] = /^([\w!#$%&'*+.^`|~-]+): ([\x20-\x7e]*)$/.exec(line) ?? []
    if (name === undefined || value === undefined) throw new Error(`no header: ${JSON.stringify(line)}`)
    const key = name.toLowerCase()
    if (headers[key] !== undefined) throw new Error(`the header ${name} twice: ${text}`)
    headers[key] = value
  }
  return { status: Number(status), headers }
}

const dateForm =
  /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d\d:\d\d:\d\d GMT$/
/** A date may be made once in a while, and a response of a busy machine lies for a while. */
const maxDateAgeMs = 60_000

function checkDate(date: string | undefined): void {
  if (date === undefined || !dateForm.test(date)) throw new Error(`no Date: ${date}`)
  const ageMs = Date.now() - Date.parse(date)
  // Its fraction of a second is cut off.
  if (ageMs < -1000 || ageMs > maxDateAgeMs) throw new Error(`the Date is ${ageMs} ms off: ${date}`)
}

async function readBody(
  input: Input,
  method: string,
  status: number,
  headers: WireResponse['headers'],
): Promise<Pick<WireResponse, 'body' | 'framing'>> {
  const length = headers['content-length']
  const coding = headers['transfer-encoding']
  if (length !== undefined && (coding !== undefined || !/^\d+$/.test(length)))
    throw new Error(`Content-Length ${length} and Transfer-Encoding ${coding}`)
  if (status === 204 && (length !== undefined || coding !== undefined)) throw new Error('a 204 with a length')
  if (method === 'HEAD' || status === 204 || status === 304) return { body: Buffer.alloc(0), framing: 'none' }
  if (length !== undefined) return { body: await input.bytes(Number(length), 'a body'), framing: 'length' }
  if (coding === undefined) return { body: await input.toEnd(), framing: 'close' }
  if (coding !== 'chunked') throw new Error(`Transfer-Encoding ${coding}`)
  return { body: await readChunks(input), framing: 'chunked' }
}

async function readChunks(input: Input): Promise<Buffer> {
  const chunks: Buffer[] = []
  for (;;) {
    const size = await input.until('\r\n', 'the size of a chunk')
    if (!/^[0-9a-fA-F]+$/.test(size)) throw new Error(`the size of a chunk: ${JSON.stringify(size)}`)
    chunks.push(await input.bytes(Number.parseInt(size, 16), 'a chunk'))
    if ((await input.until('\r\n', 'a chunk')) !== '') throw new Error('a chunk is longer than its size')
    if (size === '0') return Buffer.concat(chunks)
  }
}

type Fields = Readonly<Record<string, string>>

/** The bytes of a request; with a body it has a Content-Length. */
export function requestBytes(
  method: string,
  path: string,
  { headers = {}, body }: { headers?: Fields; body?: string | Uint8Array } = {},
): Buffer {
  const length = body === undefined ? {} : { 'Content-Length': String(Buffer.byteLength(body)) }
  const lines = Object.entries({ Host: 'x', ...headers, ...length }).map(
    ([name, value]) => `${name}: ${value}\r\n`,
  )
  return Buffer.concat([
    Buffer.from(`${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n`),
    Buffer.from(body ?? ''),
  ])
}

export function putBytes(path: string, body: string): Buffer {
  return requestBytes('PUT', path, { body })
}

/** Characters up to U+00FF stand for bytes. */
export function latin1(text: string): Buffer {
  return Buffer.from(text, 'latin1')
}

/** As `requestBytes`, with the body in these chunks. */
export function chunkedRequest(
  method: string,
  path: string,
  chunks: readonly (string | Uint8Array)[],
  {
    headers = {},
    extension = '',
    trailer = '',
  }: { headers?: Fields; extension?: string; trailer?: string } = {},
): Buffer {
  const coded = chunks.map((chunk) =>
    Buffer.concat([
      Buffer.from(`${Buffer.byteLength(chunk).toString(16)}${extension}\r\n`),
      Buffer.from(chunk),
      Buffer.from('\r\n'),
    ]),
  )
  const head = requestBytes(method, path, { headers: { ...headers, 'Transfer-Encoding': 'chunked' } })
  return Buffer.concat([head, ...coded, Buffer.from(`0${extension}\r\n${trailer}\r\n`)])
}

/** Memory of a process that is its own, in MiB. */
export function ownMib(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(/RssAnon:\s+(\d+) kB/.exec(status)![1]) / 1024
}

/** Established, and where the client has said that it will send no more. */
const openStates = new Set(['01', '08'])

/** Whether a server on this machine still has a connection open, which a client that does not read cannot see. */
export function isOpenAt(serverPort: number, wire: Wire): boolean {
  const [local, remote] = [serverPort, wire.localPort].map(
    (port) => `:${port.toString(16).toUpperCase().padStart(4, '0')}`,
  )
  const tables = ['/proc/net/tcp', '/proc/net/tcp6'].map((path) => readFileSync(path, 'latin1'))
  return tables
    .flatMap((text) => text.split('\n'))
    .some((line) => {
      const [, from, to, state] = line.trim().split(/\s+/, 4)
      return openStates.has(state!) && from!.endsWith(local!) && to!.endsWith(remote!)
    })
}
