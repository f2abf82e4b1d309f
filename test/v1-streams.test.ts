import { afterAll, beforeAll, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { countsOf, jsonOf } from './support/responses.ts'
import { startServer, type TestServer } from './support/server.ts'

/** Imports and exports of any size go through in constant memory. Bounds leave room for garbage that nobody collected yet. */

let server: TestServer
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.remove())

/** Large lines: memory is by the byte, and the time that a test takes by the line. */
const lineBytes = 8 * 1024

/** Memory of the server that is its own: pages of the data file that it maps are the system's. */
function ownMib(): number {
  const status = readFileSync(`/proc/${server.pid}/status`, 'utf8')
  return Number(/RssAnon:\s+(\d+) kB/.exec(status)![1]) / 1024
}

/** The most memory that the server takes while something is done. */
async function peakMib(work: () => Promise<void>): Promise<number> {
  let peak = ownMib()
  const timer = setInterval(() => {
    peak = Math.max(peak, ownMib())
  }, 20)
  try {
    await work()
  } finally {
    clearInterval(timer)
  }
  return peak
}

/** Imports lines of that length; `junk` of each is in a field that is passed over. */
async function importLines(collection: string, lines: number, junk = false): Promise<void> {
  const name = junk ? '"value":1,"updated_at"' : '"value"'
  let line = 0
  const body = new ReadableStream({
    pull(controller) {
      if (line >= lines) return controller.close()
      let text = ''
      for (const end = Math.min(lines, line + 32); line < end; line++) {
        const head = `{"key":"${String(line).padStart(8, '0')}",${name}:"`
        text += `${head}${'x'.repeat(lineBytes - head.length - 3)}"}\n`
      }
      controller.enqueue(Buffer.from(text))
    },
  })
  const response = await fetch(`${server.url}/v1/${collection}`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson' },
    body,
  })
  expect(await jsonOf(response)).toEqual({ stored: lines, failed: [] })
}

const linesOfMib = 1024 ** 2 / lineBytes
const kept = 150 * linesOfMib

test('an import of 150 MiB takes no more memory than what is on its way to the tables', async () => {
  const small = await peakMib(() => importLines('small', kept / 10))
  const large = await peakMib(() => importLines('large', kept))
  // Up to 128 MiB of the log wait in memory to be applied, and the thread that does so reads as much as 64 MiB.
  expect(large - small).toBeLessThan(420)
  expect((await countsOf(server.url, 'large'))?.members).toBe(kept)
})

test('an import of 600 MiB that is mostly passed over takes no more', async () => {
  const before = ownMib()
  expect((await peakMib(() => importLines('junk', 600 * linesOfMib, true))) - before).toBeLessThan(400)
})

test('four exports of 150 MiB take no more than one', async () => {
  const before = ownMib()
  const peak = await peakMib(async () => {
    for (let i = 0; i < 4; i++) {
      const response = await fetch(`${server.url}/v1/large?include=values`, {
        headers: { accept: 'application/x-ndjson' },
      })
      let bytes = 0
      for await (const part of response.body!) bytes += part.length
      expect(bytes).toBe(kept * (lineBytes + ',"expires_at":null'.length))
    }
  })
  expect(peak - before).toBeLessThan(450)
})

test('readers that stop reading hold up no memory, and no one else', async () => {
  const before = ownMib()
  const sockets: Socket[] = []
  const peak = await peakMib(async () => {
    for (let i = 0; i < 10; i++) {
      const socket = connect(server.port, '127.0.0.1', () =>
        socket.write('GET /v1/large HTTP/1.1\r\nHost: x\r\nAccept: application/x-ndjson\r\n\r\n'),
      )
      socket.once('data', () => socket.pause())
      socket.on('error', () => {})
      sockets.push(socket)
    }
    for (let i = 0; i < 40; i++) {
      expect((await fetch(`${server.url}/v1/large/00000000`)).status).toBe(200)
      await Bun.sleep(50)
    }
  })
  for (const socket of sockets) socket.destroy()
  expect(peak - before).toBeLessThan(250)
})
