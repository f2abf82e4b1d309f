import { readFileSync } from 'node:fs'
import { SourceError } from '../entry.ts'
import { type DbmPair, RandomFile } from './random-file.ts'

/**
 * Python's dbm.dumb: a `.dir` file of lines `'key', (offset, bytes)`, in Latin-1, each key as Python writes a string, and
 * a `.dat` file with the values. Of two lines with one key the later counts.
 */
export function* dumbPairs(base: string): Generator<DbmPair> {
  const lines = readFileSync(`${base}.dir`, 'latin1').split('\n')
  const index = new Map<string, readonly [offset: number, bytes: number]>()
  for (const [number, line] of lines.entries()) {
    if (line.trim() === '') continue
    const parts = /^('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"), \((\d+), (\d+)\)\s*$/.exec(line)
    if (parts === null) throw new SourceError(`${base}.dir is damaged in line ${number + 1}`)
    index.set(parts[1]!, [Number(parts[2]), Number(parts[3])])
  }
  const file = new RandomFile(`${base}.dat`)
  try {
    for (const [quoted, [offset, bytes]] of index)
      yield [Buffer.from(unquoted(quoted), 'latin1'), file.read(offset, bytes)]
  } finally {
    file.close()
  }
}

const escapes: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t' }

/** Returns the text that Python's `repr` wrote. */
function unquoted(quoted: string): string {
  return quoted
    .slice(1, -1)
    .replace(/\\(?:x([0-9a-f]{2})|(.))/g, (_all, hex?: string, character = '') =>
      hex === undefined ? (escapes[character] ?? character) : String.fromCharCode(Number.parseInt(hex, 16)),
    )
}
