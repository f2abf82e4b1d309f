import { parseCollection } from './core/keys.ts'
import { compilePattern } from './core/pattern.ts'
import { type Kind, text } from './option-kinds.ts'

/** Values of options: paths, and functions that return null for what is invalid. */

/** Returns a host without the brackets that an IPv6 address may have, as in a URL; null when invalid. */
export function parseHost(given: string): string | null {
  const host = given.startsWith('[') && given.endsWith(']') ? given.slice(1, -1) : given
  return /^[A-Za-z0-9._:%-]{1,253}$/.test(host) ? host : null
}

/** Returns a host name in lower case, without a final dot; null when invalid. */
export function parseHostName(given: string): string | null {
  const name = given.toLowerCase().replace(/\.$/, '')
  return /^[a-z0-9._-]{1,253}$/.test(name) ? name : null
}

/**
 * Returns an origin as browsers send it, in lower case and without the default port of its scheme; null when invalid.
 */
export function parseOrigin(given: string): string | null {
  if (given === '*') return given
  const [, scheme = '', host] =
    /^([a-z][a-z0-9+.-]*):\/\/([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?$/i.exec(given) ?? []
  if (host === undefined || !URL.canParse(given)) return null
  return /^https?$/i.test(scheme) ? new URL(given).origin : given.toLowerCase()
}

export function parseCollectionName(given: string): string | null {
  try {
    return parseCollection(given)
  } catch {
    return null
  }
}

export function parsePattern(given: string): string | null {
  try {
    compilePattern(given)
    return given === '' ? null : given
  } catch {
    return null
  }
}

export function parseDamage(given: string): string | null {
  return /^log-\d{8,15}:\d{1,15}$/.test(given) ? given : null
}

/** The path of a file or a folder, which need not exist. */
export function pathKind(unit: string, range: string): Kind<string> {
  return text(unit, range, (given) => (given === '' || given.includes('\0') ? null : given))
}

export const filePath = pathKind('FILE', 'the path of a file')
export const folderPath = pathKind('FOLDER', 'the path of a folder')
