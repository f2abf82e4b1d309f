import { readFileSync } from 'node:fs'
import { refuse } from './options.ts'

/**
 * The file of `--servers`: the URL of a target on each line. A first line `*` means that changes of other nodes are passed
 * on. Blank lines, and lines that begin with `#`, are ignored.
 */
export interface ServersFile {
  readonly targets: readonly string[]
  readonly isBridge: boolean
}

/** Throws UsageError if the file cannot be read, or a line is not a URL. */
export function readServersFile(path: string): ServersFile {
  const lines = textOf(path)
    .split('\n')
    .map((line, i) => ({ number: i + 1, text: line.trim() }))
    .filter(({ text }) => text !== '' && !text.startsWith('#'))
  const isBridge = lines[0]?.text === '*'
  const urls = isBridge ? lines.slice(1) : lines
  const targets = urls.map(
    ({ number, text }) => parseTarget(text) ?? refuse(`line ${number} of ${path} is not ${targetRange}`),
  )
  return { targets, isBridge }
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
