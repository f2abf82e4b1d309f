import { readFile } from 'node:fs/promises'

/** Where Linux lists the TCP sockets of this network namespace, for IPv4 and IPv6. */
const tables = ['/proc/self/net/tcp', '/proc/self/net/tcp6']

const established = '01'

/**
 * The connections that clients have to a port of ours. Bun keeps no count, so the system is asked; null where it does
 * not tell. A client on this machine is counted once: its own end has another local port.
 */
export async function countConnections(port: number): Promise<number | null> {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  const texts = await Promise.all(tables.map((path) => readFile(path, 'latin1').catch(() => null)))
  const found = texts.filter((text) => text !== null)
  if (found.length === 0) return null
  return found.flatMap((text) => text.split('\n')).filter((line) => isConnection(line, suffix)).length
}

/** `  0: 0100007F:1F90 0100007F:D2F4 01 …`: number, local address, remote address, state. */
function isConnection(line: string, localSuffix: string): boolean {
  const [, local, , state] = line.trim().split(/\s+/, 4)
  return state === established && local !== undefined && local.endsWith(localSuffix)
}
