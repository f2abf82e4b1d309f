import type { Reply } from '../../engines/redis/resp.ts'
import { SourceError } from '../entry.ts'
import type { Batch, Importer, ImporterOptions, Source } from '../importer.ts'
import { type RedisLogin, SourceConnection } from './connection.ts'
import { readKeys } from './read-keys.ts'
import { parseSourceUrl, type RedisSourceUrl } from './url.ts'

/**
 * A Redis or Valkey server, or all primaries of a cluster, by SCAN. The server goes on serving: what is written meanwhile may
 * or may not be read. A cursor of SCAN stays good until the server restarts, so an import resumes until then.
 */
export const redis: Importer = {
  operand: 'URL',
  collection: 'keys',
  options: ['json', 'database', 'encodeKeys', 'login'],
  async open(location, options) {
    const url = parseSourceUrl(location)
    const login = { user: url.user, password: options.password, tls: url.isTls ? { ca: options.ca } : null }
    if (url.database !== null && options.database !== null && url.database !== options.database) {
      throw new SourceError('the URL and --database name two databases')
    }
    const database = options.database ?? url.database
    const first = await SourceConnection.open(url, login)
    try {
      return await openServers(first, url, login, database, options)
    } catch (error) {
      first.close()
      throw error
    }
  },
}

/** A server with what identifies its run: a server that restarts has new cursors. */
interface ScannedServer {
  readonly connection: SourceConnection
  readonly runId: string
}

const scanCount = 512

async function openServers(
  first: SourceConnection,
  url: RedisSourceUrl,
  login: RedisLogin,
  database: number | null,
  options: ImporterOptions,
): Promise<Source> {
  const info = String(await first.command('INFO'))
  const isCluster = /^cluster_enabled:1/m.test(info)
  if (isCluster && (database ?? 0) !== 0) throw new SourceError('a cluster has database 0 alone')
  const connections = isCluster ? await openPrimaries(first, url, login) : [first]
  if (!isCluster) {
    await first.command('SELECT', database ?? 0)
    if (database === null) noteDatabases(info, options)
  }
  const servers = await Promise.all(connections.map(identify))
  const sizes = await Promise.all(servers.map(({ connection }) => connection.command('DBSIZE')))
  return {
    identity: servers.map(({ runId }) => runId).join(' '),
    total: sizes.reduce((sum: number, size) => sum + Number(size), 0),
    read: (cursor) => readServers(servers, cursor, options),
    close() {
      for (const { connection } of servers) connection.close()
    },
  }
}

async function identify(connection: SourceConnection): Promise<ScannedServer> {
  const info = String(await connection.command('INFO', 'server'))
  return { connection, runId: /^run_id:(\w+)/m.exec(info)?.[1] ?? '' }
}

/** The databases of a server, as the section Keyspace of INFO lists them. */
function noteDatabases(info: string, { note }: ImporterOptions): void {
  const others = [...info.matchAll(/^db(\d+):keys=(\d+)/gm)].filter(([, database]) => database !== '0')
  if (others.length === 0) return
  const shown = others.map(([, database, keys]) => `${keys} in database ${database}`).join(', ')
  note(`only database 0 is read; there are keys in others: ${shown} (--database)`)
}

/** Connects to the primaries, and closes the first connection. */
async function openPrimaries(
  first: SourceConnection,
  { host }: RedisSourceUrl,
  login: RedisLogin,
): Promise<SourceConnection[]> {
  const slots = await first.command('CLUSTER', 'SLOTS')
  const addresses = new Map<string, { host: string; port: number }>()
  for (const range of Array.isArray(slots) ? slots : []) {
    const [, , primary] = range as readonly Reply[]
    const [name, port] = primary as readonly Reply[]
    const address = { host: String(name ?? '') || host, port: Number(port) }
    addresses.set(`${address.host} ${address.port}`, address)
  }
  if (addresses.size === 0) throw new SourceError('the cluster serves no slots')
  first.close()
  const sorted = [...addresses].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, address]) => address)
  return Promise.all(sorted.map((address) => SourceConnection.open(address, login)))
}

/** A cursor is the index of a server and its own cursor: `1 0` begins the second one. */
async function* readServers(
  servers: readonly ScannedServer[],
  cursor: string | null,
  options: ImporterOptions,
): AsyncGenerator<Batch> {
  const [startIndex = '0', startCursor = '0'] = cursor?.split(' ') ?? []
  let position = 0
  for (let index = Number(startIndex); index < servers.length; index++) {
    const { connection } = servers[index]!
    let at = index === Number(startIndex) ? startCursor : '0'
    do {
      const reply = await connection.command('SCAN', at, 'COUNT', scanCount)
      const [next, keys] = reply as readonly [Reply, readonly Buffer[]]
      const before = `${index} ${at}`
      at = String(next)
      position += keys.length
      const after = at === '0' ? `${index + 1} 0` : `${index} ${at}`
      // The values of a page may come in several groups: only after the last one the page is done.
      let entries: Batch['entries'] | null = null
      for await (const group of readKeys(connection, keys, options)) {
        if (entries !== null) yield { entries, cursor: before, position }
        entries = group
      }
      yield { entries: entries ?? [], cursor: after, position }
    } while (at !== '0')
  }
}
