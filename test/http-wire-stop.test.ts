import { expect, test } from 'bun:test'
import { rmSync } from 'node:fs'
import { until } from './support/engine.ts'
import { membersIn, put } from './support/responses.ts'
import { newFolder, startServer } from './support/server.ts'
import { expectEnded, openWire, putBytes, requestBytes } from './support/wire.ts'

/** What the connections of a server that stops see of it. */

test('closes idle connections at once, and responds to requests with Connection: close', async () => {
  const stopping = await startServer()
  try {
    const idle = await openWire(stopping.port)
    const used = await openWire(stopping.port)
    used.write(requestBytes('GET', '/v1'))
    await used.response()
    const watching = await openWire(stopping.port)
    watching.write(requestBytes('GET', '/v1/_changes', { headers: { Accept: 'text/event-stream' } }))
    await until(() => watching.received() > 0, 'the watch has begun')
    const whole = putBytes('/v1/c/k', '"whole"')
    const busy = await openWire(stopping.port)
    busy.write(whole.subarray(0, whole.length - 2))
    await busy.flushed()
    // Answers on another connection come when the server has seen what was sent before.
    await fetch(`${stopping.url}/v1`)
    stopping.signal('SIGTERM')
    await Promise.all([expectEnded(idle), expectEnded(used)])
    const { body, framing } = await watching.response()
    expect([framing, body.toString()]).toEqual(['chunked', expect.stringMatching(/^: watching\n/)])
    await expectEnded(watching)
    busy.write(whole.subarray(whole.length - 2))
    const reply = await busy.response('PUT')
    expect([reply.status, reply.headers.connection]).toEqual([201, 'close'])
    await expectEnded(busy)
    expect(await stopping.exited).toBe(0)
    expect(stopping.output()).not.toContain('"level":"error"')
  } finally {
    await stopping.remove()
  }
})

test('leaves to the system what it has sent', async () => {
  const bytes = 3 * 1024 * 1024
  const stopping = await startServer()
  await put(`${stopping.url}/v1/c/k`, new Uint8Array(bytes), { 'content-type': 'a/b' })
  const wire = await openWire(stopping.port)
  wire.pauseSoon()
  wire.write(requestBytes('GET', '/v1/c/k'))
  await until(() => wire.received() > 0, 'the response has begun')
  expect(await stopping.stop()).toBe(0)
  expect(wire.received()).toBeLessThan(bytes)
  wire.resume()
  expect((await wire.response()).body.length).toBe(bytes)
  await expectEnded(wire)
  await stopping.remove()
})

test('has stored what it acknowledged, and nothing else', async () => {
  const dataFolder = newFolder()
  const stopping = await startServer({ dataFolder })
  const wire = await openWire(stopping.port)
  const count = 3000
  wire.write(Buffer.concat(Array.from({ length: count }, (_, i) => putBytes(`/v1/c/${i}`, '1'))))
  let responded = 0
  let last = await wire.response('PUT')
  stopping.signal('SIGTERM')
  for (; last.headers.connection !== 'close'; responded++) last = await wire.response('PUT')
  await expectEnded(wire)
  expect(await stopping.exited).toBe(0)
  const again = await startServer({ dataFolder })
  try {
    expect((await membersIn(`${again.url}/v1/c`, '?include=keys&limit=10000')).length).toBe(responded + 1)
    expect(responded + 1).toBeLessThan(count)
  } finally {
    await again.remove()
    rmSync(dataFolder, { recursive: true })
  }
})
