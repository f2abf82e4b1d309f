import { expect, test } from 'bun:test'
import zlib from 'node:zlib'
import { requestOf } from '../../test/support/connection.ts'
import { compressed } from './compression.ts'
import { responseOf, streamed } from './response.ts'
import type { BodyWriter, HttpResponse, StreamedBody } from './wire/response.ts'

const request = requestOf('GET / HTTP/1.1', 'Accept-Encoding: gzip')

function streamOf(response: HttpResponse | Promise<HttpResponse>): StreamedBody {
  const { body } = response as HttpResponse
  if (body === null || typeof body !== 'object' || !('pull' in body)) throw new Error('no stream')
  return body
}

/** A client that takes a part only when the test says so. */
function slowClient() {
  const bytes: Uint8Array[] = []
  const { promise: end, resolve: ended } = Promise.withResolvers<'end' | 'abort'>()
  let hasEnded = false
  end.then(() => (hasEnded = true))
  const writer: BodyWriter = {
    write: (part) => bytes.push(Buffer.from(part as Uint8Array)) < 0,
    end: () => ended('end'),
    abort: () => ended('abort'),
  }
  return {
    writer,
    end,
    text: () => zlib.gunzipSync(Buffer.concat(bytes)).toString(),
    hasEnded: () => hasEnded,
  }
}

/** Long enough for the other thread to have done what it was asked. */
async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await Bun.sleep(1)
}

test('no part is made before the client has taken the one before it', async () => {
  let made = 0
  const source = streamed(
    async () => (made === 5 ? null : `part ${made++}\n`.repeat(1000)),
    () => {},
  )
  const body = streamOf(compressed(request, responseOf(200, {}, source)))
  const client = slowClient()
  body.pull(client.writer)
  for (let taken = 1; taken <= 5; taken++) {
    while (made < taken) await Bun.sleep(1)
    await settle()
    expect(made).toBe(taken)
    // An encoder may give out a part in several pieces.
    while (made === taken && !client.hasEnded()) {
      body.pull(client.writer)
      await Bun.sleep(1)
    }
  }
  expect(await client.end).toBe('end')
  expect(client.text().split('\n')).toHaveLength(5001)
})

test('a source that fails cuts the response off', async () => {
  let made = 0
  const source = streamed(
    async () => {
      if (made++ === 1) throw new Error('the disk failed')
      return 'part'
    },
    () => {},
  )
  const body = streamOf(compressed(request, responseOf(200, {}, source)))
  const client = slowClient()
  // An encoder may give out a part in several pieces, and the client has room for one at a time.
  const pulls = setInterval(() => body.pull(client.writer), 1)
  try {
    expect(await client.end).toBe('abort')
  } finally {
    clearInterval(pulls)
  }
})

test('a client that goes ends the source, begun or not', async () => {
  for (const begins of [false, true]) {
    let stopped = 0
    const source = streamed(
      async () => 'part',
      () => stopped++,
    )
    const body = streamOf(compressed(request, responseOf(200, {}, source)))
    if (begins) body.pull(slowClient().writer)
    body.cancel()
    await settle()
    expect(stopped).toBe(1)
  }
})

test('what is shorter than the threshold goes out as it is, as text or bytes', async () => {
  for (const make of [(bytes: number) => 'x'.repeat(bytes), (bytes: number) => new Uint8Array(bytes)]) {
    const codingAt = async (bytes: number) => {
      const { headerBlock, body } = await compressed(request, responseOf(200, {}, make(bytes)))
      return [/Content-Encoding: (\w+)/.exec(headerBlock)?.[1], (body as Uint8Array).length < bytes]
    }
    expect(await codingAt(1023)).toEqual([undefined, false])
    expect(await codingAt(1024)).toEqual(['gzip', true])
  }
})
