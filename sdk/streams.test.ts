import { expect, test } from 'bun:test'
import { countingSignal } from '../test/support/signal.ts'
import { Kvist, KvistTimeoutError, KvistUnreachableError } from './client.ts'

/** What becomes of responses that are read part by part, and of the caller's signal, with a `fetch` of the tests. */

const timeoutMs = 40

/** A `fetch` whose responses have these parts, all of them there at once; an abort breaks the body off, as it does in earnest. */
function responding(parts: readonly string[], { type = 'application/x-ndjson', ends = true } = {}) {
  return (_url: string, { signal }: RequestInit): Promise<Response> => {
    signal?.throwIfAborted()
    const body = new ReadableStream({
      start(controller) {
        for (const part of parts) controller.enqueue(new TextEncoder().encode(part))
        if (ends) controller.close()
        else signal?.addEventListener('abort', () => controller.error(signal.reason))
      },
    })
    const headers = { 'content-type': type, etag: '"1"', 'last-modified': new Date(0).toUTCString() }
    return Promise.resolve(new Response(body, { headers }))
  }
}

const put = (id: number) =>
  `event: put\nid: ${id}\ndata: {"revision":${id},"type":"put","collection":"c","key":"k${id}","value":${id}}\n\n`
const events = { type: 'text/event-stream', ends: false }

test('while the consumer is busy the server is not waited for: no time limit passes', async () => {
  const lines = ['{"key":"a","value":1}\n', '{"key":"b","value":2}\n', '{"key":"c","value":3}\n']
  // The last part does not come: then the server is waited for, and only then.
  const kvist = new Kvist('http://k', { timeoutMs, retries: 0, fetch: responding(lines, { ends: false }) })
  const found: string[] = []
  const reading = (async () => {
    for await (const { key } of kvist.collection('c').export()) {
      found.push(key)
      await Bun.sleep(3 * timeoutMs)
    }
  })()
  await expect(reading).rejects.toBeInstanceOf(KvistTimeoutError)
  expect(found).toEqual(['a', 'b', 'c'])
})

test('nor before it begins to read', async () => {
  const kvist = new Kvist('http://k', { timeoutMs, fetch: responding(['a', 'b'], { ends: false }) })
  const raw = await kvist.collection('c').getRaw('k')
  await Bun.sleep(3 * timeoutMs)
  expect(await raw?.bytes[Symbol.asyncIterator]().next()).toMatchObject({ done: false })
})

test('a watch does not count the time of its consumer as silence', async () => {
  const lost: string[] = []
  const kvist = new Kvist('http://k', { fetch: responding([put(1), put(2), put(3)], events) })
  const watch = kvist.watch({ silenceMs: timeoutMs, onDisconnect: ({ code }) => lost.push(code) })
  for await (const event of watch) {
    expect(lost).toEqual([])
    if (event.resumePoint === '3') break
    await Bun.sleep(3 * timeoutMs)
  }
})

test('nothing is taken from the cache of a browser', async () => {
  const inits: RequestInit[] = []
  const kvist = new Kvist('http://k', {
    fetch(url, init) {
      inits.push(init)
      return responding(['{"members":[],"next":null}'], { type: 'application/json' })(url, init)
    },
  })
  const c = kvist.collection<number>('c')
  await c.page()
  await c.getText('k')
  await c.put('k', 1)
  await c.lines()
  expect(inits.map(({ cache }) => cache)).toEqual(['no-store', 'no-store', 'no-store', 'no-store'])
})

type Call = (kvist: Kvist, signal: AbortSignal) => Promise<unknown>

async function drain(items: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of items);
}

const calls: [name: string, call: Call][] = [
  ['a call', (kvist, signal) => kvist.collection('c').getText('k', { signal })],
  ['a write', (kvist, signal) => kvist.collection('c').delete('k', { signal })],
  ['a stream read to its end', (kvist, signal) => drain(kvist.collection('c').export({ signal }))],
  [
    'a stream that is left',
    async (kvist, signal) => {
      for await (const _ of kvist.collection('c').export({ signal })) break
    },
  ],
  [
    'a raw value',
    async (kvist, signal) => drain((await kvist.collection('c').getRaw('k', { signal }))?.bytes ?? empty()),
  ],
  [
    'a watch that is left',
    async (kvist, signal) => {
      for await (const _ of kvist.watch({ signal })) break
    },
  ],
  [
    'a watch that is ended while it waits',
    async (kvist, signal) => {
      const watch = kvist.watch({ signal })
      await watch.next()
      const waiting = watch.next()
      await watch.return()
      await waiting
    },
  ],
  ['a watch that is ended before it began', (kvist, signal) => kvist.watch({ signal }).return()],
  ['a watch that is never iterated', async (kvist, signal) => void kvist.watch({ signal })],
]

async function* empty(): AsyncGenerator<Uint8Array> {}

test.each(calls)('%s leaves no listener on the signal of its caller', async (name, call) => {
  const { signal, listeners } = countingSignal()
  const isWatch = name.includes('watch')
  const parts = isWatch ? [put(1)] : ['{"key":"a"}\n', '{"key":"b"}\n']
  await call(new Kvist('http://k', { fetch: responding(parts, isWatch ? events : {}) }), signal)
  expect(listeners()).toBe(0)
})

test('nor does one that fails, or is tried again', async () => {
  const { signal, listeners } = countingSignal()
  const failing = new Kvist('http://k', { retries: 1, fetch: () => Promise.reject(new Error('down')) })
  const refusing = new Kvist('http://k', {
    retries: 1,
    fetch: async () => Response.json({ code: 'busy' }, { status: 503 }),
  })
  await expect(failing.collection('c').getText('k', { signal })).rejects.toBeInstanceOf(KvistUnreachableError)
  await expect(refusing.collection('c').getText('k', { signal })).rejects.toMatchObject({ code: 'busy' })
  await expect(failing.watch({ signal }).next()).rejects.toBeInstanceOf(KvistUnreachableError)
  await expect(drain(failing.collection('c').export({ signal }))).rejects.toBeInstanceOf(
    KvistUnreachableError,
  )
  expect(listeners()).toBe(0)
})
