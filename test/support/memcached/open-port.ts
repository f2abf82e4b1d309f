import { type Database, type DatabaseOptions, openDatabase } from '../../../src/core/database.ts'
import {
  listenMemcached,
  type MemcachedOptions,
  type MemcachedServer,
} from '../../../src/memcached/listener.ts'
import { startSockets } from '../../../src/net/sockets.ts'
import { authenticatorOf } from '../authenticator.ts'
import { openTestEngine } from '../test-engine.ts'
import { maxValueBytes } from './conversation.ts'
import { type TextClient, textClient } from './text-client.ts'

/** A memcached port in this process, over a store of its own. */
export interface OpenPort extends AsyncDisposable {
  readonly port: number
  readonly db: Database
  readonly server: MemcachedServer
  /** What was reported to the operator. */
  readonly errors: unknown[]
  /** The addresses that were reported to speak another protocol, and which. */
  readonly foreignClients: string[]
  connect(): Promise<TextClient>
}

type Options = Partial<MemcachedOptions> & Pick<DatabaseOptions, 'followers'>

export async function openPort({ followers = [], ...options }: Options = {}): Promise<OpenPort> {
  const errors: unknown[] = []
  const foreignClients: string[] = []
  const onError = (error: unknown): void => void errors.push(error)
  const db = await openDatabase({
    open: openTestEngine,
    cacheBytes: 1024 * 1024,
    now: options.now ?? Date.now,
    onError,
    followers,
  })
  const server = listenMemcached({
    host: '127.0.0.1',
    port: 0,
    version: '1.2.3',
    db,
    collection: 'cache',
    durability: 'full',
    authenticator: authenticatorOf(null),
    idleTimeoutSeconds: 0,
    stallTimeoutSeconds: 60,
    maxConnections: 4096,
    maxValueBytes,
    maxHeldBytes: 64 * 1024 * 1024,
    now: Date.now,
    onError,
    onForeignClient: (address, speaks) => void foreignClients.push(`${address} ${speaks}`),
    sockets: startSockets(onError),
    ...options,
  })
  const port = Number(server.address.split(':').at(-1))
  return {
    port,
    db,
    server,
    errors,
    foreignClients,
    connect: () => textClient(port),
    async [Symbol.asyncDispose]() {
      await server.stop(1000)
      await db.close()
    },
  }
}
