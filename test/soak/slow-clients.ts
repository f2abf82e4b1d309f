import { connect, type Socket } from 'node:net'
import type { Random } from '../support/random.ts'
import { newFolder, startServer } from '../support/server.ts'
import { type Fault, repeatFor } from './fault.ts'

/** Clients that send or read a little at a time, or die in the middle, beside one that must not notice. */
export const slowClients: Fault = {
  name: 'slow-clients',
  does: 'half requests, unread responses and dead watchers beside a client that reads and writes',
  async round({ random, budgetMs }) {
    const figures = { clients: 0, exchanges: 0 }
    const server = await startServer({ dataFolder: newFolder(), flags: ['--idle-timeout', '2'] })
    try {
      const large = 'x'.repeat(4_000_000)
      await fetch(`${server.url}/v1/c/large`, {
        method: 'PUT',
        body: large,
        headers: { 'content-type': 'text/plain' },
      })
      await repeatFor(budgetMs, async () => {
        const sockets = Array.from({ length: 40 }, () => slowClient(server.port, random))
        figures.clients += sockets.length
        for (let i = 0; i < 20; i++) {
          const value = `${random.int(1e9)}`
          const put = await fetch(`${server.url}/v1/c/k`, { method: 'PUT', body: value })
          const got = await (await fetch(`${server.url}/v1/c/k`)).text()
          if (!put.ok || got !== value) throw new Error(`${put.status}: ${value} is read as ${got}`)
          figures.exchanges++
        }
        for (const socket of sockets) socket.destroy()
      })
      return figures
    } finally {
      await server.crash()
    }
  },
}

const beginnings = [
  'GET /v1/c/large HTTP/1.1\r\nHost: localhost\r\n\r\n',
  'GET /v1/c/lar',
  'PUT /v1/c/slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{"half":',
  'PUT /v1/c/slow HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab',
  'GET /v1/c HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n',
]

function slowClient(port: number, random: Random): Socket {
  const begin = random.pick(beginnings)
  const isDead = random.oneIn(3)
  const socket = connect(port, '127.0.0.1', () => {
    socket.pause()
    socket.write(begin, () => isDead && socket.destroy())
  })
  socket.on('error', () => {})
  return socket
}
