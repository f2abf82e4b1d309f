import { type ServerOptions, startServer, type TestServer } from '../server.ts'
import { type TextClient, textClient } from './text-client.ts'

/** A real server with a memcached port. */
export interface MemcachedTestServer extends TestServer {
  readonly memcachedPort: number
  connect(): Promise<TextClient>
}

export async function serveMemcached(options: ServerOptions = {}): Promise<MemcachedTestServer> {
  const flags = ['--memcached-port', '0', ...(options.flags ?? [])]
  const server = await startServer({ ...options, flags })
  const memcachedPort = Number(/"memcached":"[^"]*:(\d+)"/.exec(server.output())?.[1])
  return Object.assign(server, { memcachedPort, connect: () => textClient(memcachedPort) })
}
