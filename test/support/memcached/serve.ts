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
  const memcachedPort = memcachedPortOf(server)
  return Object.assign(server, { memcachedPort, connect: () => textClient(memcachedPort) })
}

/** The memcached port of a server, as it logs it. */
export function memcachedPortOf({ output }: { output(): string }): number {
  return Number(/"memcached":"[^"]*:(\d+)"/.exec(output())?.[1])
}
