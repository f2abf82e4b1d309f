import { expect } from 'bun:test'
import { put } from './responses.ts'
import { type ServerOptions, startServer, type TestServer } from './server.ts'
import { latin1, openWire, requestBytes, type Wire, type WireResponse } from './wire.ts'

/** What tests of the wire talk to: a server that keeps the value `"value"` at `/v1/kept/k`. */

export async function startWithValue(options: ServerOptions = {}): Promise<TestServer> {
  const server = await startServer(options)
  await put(`${server.url}/v1/kept/k`, '"value"')
  return server
}

/** Asks for the value. */
export const get = requestBytes('GET', '/v1/kept/k')

/** The connection still works. */
export async function expectAlive(wire: Wire): Promise<void> {
  wire.write(get)
  expect((await wire.response()).body.toString()).toBe('"value"')
}

/** One response, after which the connection still works. */
export async function respondOf(
  port: number,
  request: string | Uint8Array,
  method = 'GET',
): Promise<WireResponse> {
  const wire = await openWire(port)
  wire.write(typeof request === 'string' ? latin1(request) : request)
  const reply = await wire.response(method)
  await expectAlive(wire)
  wire.destroy()
  return reply
}
