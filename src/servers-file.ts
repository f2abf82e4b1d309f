import { readFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { refuse } from './options.ts'

/**
 * The file of `--servers`: the URL of a target on each line. A first line `*` means that changes of other nodes are passed
 * on. Blank lines, and lines that begin with `#`, are ignored.
 */
export interface ServersFile {
  readonly targets: readonly string[]
  readonly isBridge: boolean
}

/**
 * Returns the targets without the server itself, so that all servers can have the same file. Throws UsageError if the file
 * cannot be read, or a line is not a URL.
 */
export function readServersFile(path: string, own: Address): ServersFile {
  const lines = textOf(path)
    .split('\n')
    .map((line, i) => ({ number: i + 1, text: line.trim() }))
    .filter(({ text }) => text !== '' && !text.startsWith('#'))
  const isBridge = lines[0]?.text === '*'
  const urls = isBridge ? lines.slice(1) : lines
  const targets = urls.map(
    ({ number, text }) => parseTarget(text) ?? refuse(`line ${number} of ${path} ${faultOf(text)}`),
  )
  return { targets: targets.filter((url) => !isOwn(url, own)), isBridge }
}

function faultOf(text: string): string {
  return text === '*' ? 'is *, which goes into the first line' : `is not ${targetRange}`
}

/** The address at which a server listens. */
export interface Address {
  readonly host: string
  readonly port: number
}

const loopbackNames = ['localhost', '127.0.0.1', '::1']
const wildcardHosts = ['0.0.0.0', '::']

/** Whether a URL leads to the server that listens at this address, as far as the URL shows it. */
function isOwn(url: string, { host, port }: Address): boolean {
  const { hostname, port: given, protocol } = new URL(url)
  if (Number(given || (protocol === 'https:' ? 443 : 80)) !== port) return false
  const name = hostname.replace(/^\[(.*)\]$/, '$1')
  if (name === host.toLowerCase()) return true
  if (loopbackNames.includes(host)) return loopbackNames.includes(name) && [name, host].includes('localhost')
  if (!wildcardHosts.includes(host)) return false
  const addresses = Object.values(networkInterfaces()).flatMap((all) => all ?? [])
  return loopbackNames.includes(name) || addresses.some(({ address }) => address === name)
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8').replace(/^\ufeff/, '')
  } catch (error) {
    const why = error instanceof Error && 'code' in error ? error.code : error
    return refuse(`the servers file ${path} cannot be read: ${why}`)
  }
}

export const targetRange = 'the http or https URL of a server, like http://10.0.0.2:7070'
const maxUrlBytes = 512

/** Returns the URL of a target without a slash at its end; null if it is none. */
export function parseTarget(given: string): string | null {
  if (!/^https?:\/\//i.test(given) || !URL.canParse(given) || given.length > maxUrlBytes) return null
  const { href, username, password, search, hash } = new URL(given)
  return username + password + search + hash === '' ? href.replace(/\/+$/, '') : null
}
