import { readFileSync, statSync } from 'node:fs'
import { refuse } from './options.ts'

/** The options that give a token. */
interface TokenOptions {
  readonly token: string | null
  readonly tokenFile: string | null
}

/** What a token consists of: a header can carry it, and no line breaks are taken for a part of it. */
export const tokenRange = 'one or more visible ASCII characters, without spaces'

/** Returns a token, or null if it is none. */
export function parseToken(given: string): string | null {
  return /^[\x21-\x7e]{1,4096}$/.test(given) ? given : null
}

/** Returns the token, from its file if one is named. Throws UsageError. */
export function tokenOf({ token, tokenFile: path }: TokenOptions): string | null {
  if (path === null) return token
  if (token !== null) refuse('KVIST_TOKEN and --token-file contradict each other: leave one of them out')
  return tokenInFile(path)
}

/** Returns the token in a file. Throws UsageError. */
export function tokenInFile(path: string): string {
  const given = readText(path).trim()
  if (given === '') refuse(`the token file ${path} is empty: it must hold ${tokenRange}`)
  return parseToken(given) ?? refuse(`the token file ${path} must hold ${tokenRange}`)
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    const why = error instanceof Error && 'code' in error ? error.code : error
    return refuse(`the token file ${path} cannot be read: ${why}`)
  }
}

/** Container engines mount secrets there, readable for every user of the container. */
const secretsFolder = '/run/secrets/'

/** Returns what to warn of if others than the owner and the group may read the token, or than the owner change it. */
export function tokenFileWarning(path: string): string | null {
  const mode = statSync(path).mode & (path.startsWith(secretsFolder) ? 0o022 : 0o026)
  if (mode === 0) return null
  const what = (mode & 0o022) === 0 ? 'read' : 'change'
  return `other users may ${what} the token file ${path}: chmod 640 leaves it to its owner and group`
}
