import { afterAll, beforeAll, expect, test } from 'bun:test'
import { connect, type Socket } from 'node:net'
import { type ServerInProcess, serveInProcess } from './support/in-process-server.ts'
import { memcachedPortOf } from './support/memcached/serve.ts'

/** How many connections one address may have, of all protocols together. Real sockets, from addresses of this machine. */

let server: ServerInProcess
const sockets: Socket[] = []
beforeAll(async () => {
  server = await serveInProcess({ flags: ['--max-connections-per-address', '3', '--memcached-port', '0'] })
})
afterAll(async () => {
  for (const socket of sockets) socket.destroy()
  await server.stop()
})

/** Opens a connection that is in the middle of a command, so that none is closed in its favour. */
async function openBusy(port: number, begun: string, from: string): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', localAddress: from })
  sockets.push(socket)
  const said = new Promise<string>((resolve) => socket.once('data', (part) => resolve(String(part))))
  socket.write(begun)
  return said
}

test('the connections of both ports count, and those of another address do not', async () => {
  const http = () => openBusy(server.port, busyRequest, '127.0.0.1')
  const memcached = (from: string) => openBusy(memcachedPortOf(server), 'mn\r\nset k 0 0 10\r\nhalf', from)
  expect(await http()).toBe('HTTP/1.1 100 Continue\r\n\r\n')
  expect(await memcached('127.0.0.1')).toBe('MN\r\n')
  expect(await memcached('127.0.0.1')).toBe('MN\r\n')
  expect(await http()).toStartWith('HTTP/1.1 503 ')
  expect(await memcached('127.0.0.1')).toBe('ERROR Too many open connections\r\n')
  expect(await memcached('127.0.0.2')).toBe('MN\r\n')
  expect(server.output()).toContain(
    'there are 3 connections from 127.0.0.1, as many as --max-connections-per-address allows',
  )
})

const busyRequest = [
  'PUT /v1/c/k HTTP/1.1',
  'Host: 127.0.0.1',
  'Content-Type: application/json',
  'Content-Length: 10',
  'Expect: 100-continue',
  '',
  '',
].join('\r\n')
