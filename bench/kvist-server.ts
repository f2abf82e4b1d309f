import { join } from 'node:path'
import { type Server, startServer, waitUntilReady } from './process.ts'

/** Starts kvist itself under test, and fills it. */

const kvist = join(import.meta.dir, '../bin/kvist')
const membersOfImport = 20_000

/** Starts `kvist serve` on a port, with its data in a folder of `dataDir`, and waits until it serves. */
export async function startKvist(
  dataDir: string,
  name: string,
  port: number,
  flags: readonly string[] = [],
): Promise<Server> {
  const command = [kvist, 'serve', '--port', `${port}`, '--data', join(dataDir, name), ...flags]
  const server = startServer(name, command, dataDir)
  await waitUntilReady(server, `http://127.0.0.1:${port}/healthz`, '')
  return server
}

/** Imports members with the keys 0, 1, 2, … and one value, JSON, into a collection named by its URL. */
export async function importMembers(collectionUrl: string, members: number, value: string): Promise<void> {
  const headers = { 'content-type': 'application/x-ndjson' }
  for (let from = 0; from < members; from += membersOfImport) {
    const count = Math.min(membersOfImport, members - from)
    const lines = Array.from({ length: count }, (_, i) => `{"key":"${from + i}","value":${value}}\n`)
    const response = await fetch(collectionUrl, { method: 'POST', body: lines.join(''), headers })
    if (!response.ok) throw new Error(`the import failed: ${await response.text()}`)
    await response.text()
  }
}
