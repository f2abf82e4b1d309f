import { connect, createServer, type Server, type Socket } from 'node:net'
import { Transform } from 'node:stream'
import { getBodyRewriter } from './get-bodies.ts'
import { type HttpOptions, type HttpServer, listen } from './server.ts'

/** How long a client may take to read what is left when the server has ended their connection. */
const lastReadMs = 10_000

/**
 * As `listen`, with a front before it that brings the bodies of GETs on these paths past it (get-bodies.ts). The server
 * itself listens on a free port of this machine, and sees the front as its client.
 */
export async function listenBehindFront(options: HttpOptions, paths: readonly string[]): Promise<HttpServer> {
  const http = listen({ ...options, host: '127.0.0.1', port: 0 })
  const httpPort = Number(new URL(http.url).port)
  const rewritten = new Set(paths)
  const clients = new Set<Socket>()
  const front = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    clients.add(client)
    client.on('close', () => clients.delete(client))
    const server = connect({ port: httpPort, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
    join(client, server, rewritten)
  })
  try {
    await listening(front, options.host, options.port)
  } catch (error) {
    await http.stop(0)
    throw error
  }
  return {
    ...http,
    url: urlOf(front),
    async stop(timeoutMs) {
      front.close()
      await http.stop(timeoutMs)
      for (const client of clients) client.destroy()
    },
  }
}

function urlOf(front: Server): string {
  const address = front.address()
  if (address === null || typeof address === 'string') throw new Error('the front has no port')
  const host = address.family === 'IPv6' ? `[${address.address}]` : address.address
  return `http://${host}:${address.port}`
}

function listening(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port, exclusive: true }, resolve)
  })
}

/** Pipes wait for the slower side, so that neither fills the memory. */
function join(client: Socket, server: Socket, paths: ReadonlySet<string>): void {
  const rewrite = getBodyRewriter(paths)
  const rewriting = new Transform({
    transform(part: Buffer, _encoding, done) {
      for (const bytes of rewrite(part)) this.push(bytes)
      done()
    },
  })
  client.pipe(rewriting).pipe(server)
  server.pipe(client)
  client.on('error', () => server.destroy())
  client.on('close', () => server.destroy())
  server.on('error', () => client.destroy())
  server.on('close', () => {
    if (client.destroyed) return
    client.end()
    setTimeout(() => client.destroy(), lastReadMs).unref()
  })
}
