import { setTimeout as sleep } from 'node:timers/promises'
import {
  isJson,
  jsonValue,
  keyText,
  plainValue,
  type RejectedEntry,
  rejectedBinaryKey,
  type SourceEntry,
  SourceError,
  type SourceValue,
} from '../entry.ts'
import type { Batch, Importer, ImporterOptions } from '../importer.ts'
import { LineSocket } from './socket.ts'

/**
 * A memcached server, by `lru_crawler metadump` and `get`. The crawler has no order, so an import does not resume: a second
 * run reads all again. Values are stored as the memcached port stores them.
 */
export const memcached: Importer = {
  operand: 'HOST:PORT',
  collection: 'cache',
  options: ['encodeKeys'],
  async open(location, options) {
    const { host, port } = parseAddress(location)
    const [dump, values] = [await LineSocket.open(host, port), await LineSocket.open(host, port)]
    const close = () => {
      dump.close()
      values.close()
    }
    try {
      return {
        identity: null,
        total: await countItems(values),
        read: () => read(dump, values, options),
        close,
      }
    } catch (error) {
      close()
      throw error
    }
  },
}

/** Parses `host`, `host:port` or `[IPv6]:port`. Throws a `SourceError`. */
function parseAddress(location: string): { readonly host: string; readonly port: number } {
  const parts = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]/\s]+))(?::(\d{1,5}))?$/.exec(location)
  const port = Number(parts?.[3] ?? 11_211)
  if (parts === null || port < 1 || port > 65_535)
    throw new SourceError(`${JSON.stringify(location)} is not host:port`)
  return { host: parts[1] ?? parts[2]!, port }
}

async function countItems(socket: LineSocket): Promise<number> {
  socket.send('stats\r\n')
  let items = 0
  for (;;) {
    const line = (await socket.line()).toString()
    if (line === 'END') return items
    if (!line.startsWith('STAT ')) throw socket.fault(`it is no memcached server: ${shown(line)}`)
    items = Number(/^STAT curr_items (\d+)/.exec(line)?.[1] ?? items)
  }
}

/** An item of the dump. */
interface Item {
  readonly key: Buffer
  readonly text: string
  readonly expiresAtMs: number | null
}

const groupItems = 500
const groupBytes = 4 * 1024 * 1024

async function* read(dump: LineSocket, values: LineSocket, options: ImporterOptions): AsyncGenerator<Batch> {
  let position = 0
  let items: Item[] = []
  let entries: SourceEntry[] = []
  let bytes = 0
  let line = await startDump(dump)
  for (; line !== 'END'; line = (await dump.line()).toString()) {
    position++
    const item = parseItem(line, dump, options)
    if ('code' in item) entries.push(item)
    else items.push(item)
    bytes += Number(/ size=(\d+)/.exec(line)?.[1] ?? 0)
    if (items.length < groupItems && entries.length < groupItems && bytes < groupBytes) continue
    yield { entries: [...entries, ...(await getItems(values, items))], cursor: '', position }
    items = []
    entries = []
    bytes = 0
  }
  yield { entries: [...entries, ...(await getItems(values, items))], cursor: '', position }
}

/** The crawler does one thing at a time. */
const maxTries = 30
const pauseMs = 1000

/** Asks for the dump, and returns its first line. */
async function startDump(dump: LineSocket): Promise<string> {
  for (let tries = 1; ; tries++) {
    dump.send('lru_crawler metadump all\r\n')
    const line = (await dump.line()).toString()
    if (line === 'END' || line.startsWith('key=')) return line
    if (!line.startsWith('BUSY') || tries === maxTries)
      throw dump.fault(`it does not list its keys (lru_crawler metadump): ${shown(line)}`)
    await sleep(pauseMs)
  }
}

function parseItem(line: string, dump: LineSocket, { encodeKeys }: ImporterOptions): Item | RejectedEntry {
  const parts = /^key=(\S+) exp=(-?\d+) /.exec(line)
  if (parts === null) throw dump.fault(`it lists its keys in an unknown form: ${shown(line)}`)
  const key = percentDecoded(parts[1]!)
  const text = keyText(key, encodeKeys)
  if (text === null) return rejectedBinaryKey(key)
  if (key.some((byte) => byte <= 32 || byte === 127)) {
    return {
      key: text,
      code: 'unsupported',
      reason: 'the key has a space or control character, and cannot be read',
    }
  }
  const seconds = Number(parts[2])
  return { key, text, expiresAtMs: seconds <= 0 ? null : seconds * 1000 }
}

function percentDecoded(text: string): Buffer {
  const bytes = text.replace(/%([0-9A-Fa-f]{2})/g, (_all, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  )
  return Buffer.from(bytes, 'latin1')
}

const lineEnd = Buffer.from('\r\n')

/** Reads the values of items; those that are gone since are left out. */
async function getItems(socket: LineSocket, items: readonly Item[]): Promise<SourceEntry[]> {
  const commands = items.flatMap(({ key }) => [Buffer.from('get '), key, lineEnd])
  if (items.length > 0) socket.send(Buffer.concat(commands))
  const entries: SourceEntry[] = []
  for (const { text, expiresAtMs } of items) {
    const line = (await socket.line()).toString('latin1')
    if (line === 'END') continue
    const parts = /^VALUE \S+ (\d+) (\d+)/.exec(line)
    if (parts === null) throw socket.fault(`it refused to read ${JSON.stringify(text)}: ${shown(line)}`)
    const bytes = Buffer.from(await socket.bytes(Number(parts[2])))
    await socket.bytes(lineEnd.length)
    if ((await socket.line()).toString() !== 'END') throw socket.fault('it sent something that is no item')
    entries.push({ key: text, value: itemValue(bytes), flags: Number(parts[1]), expiresAtMs })
  }
  return entries
}

/** JSON is stored as JSON, except a string, which memcached clients would read without its quotes. */
function itemValue(bytes: Buffer): SourceValue {
  const mayBeJson = /^\s*[^\s"]/.test(bytes.subarray(0, 64).toString('latin1'))
  const text = bytes.toString()
  return mayBeJson && Buffer.from(text).equals(bytes) && isJson(text)
    ? jsonValue(text)
    : plainValue(bytes, false)
}

function shown(line: string): string {
  return JSON.stringify(line.slice(0, 100))
}
