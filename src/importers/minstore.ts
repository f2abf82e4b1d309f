import { isUtf8 } from 'node:buffer'
import { lstatSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { maxValueBytes } from '../core/limits.ts'
import { countedBatches } from './counted.ts'
import { isJson, jsonValue, rejectedBinaryKey, type SourceEntry, SourceError } from './entry.ts'
import { identityOf } from './files.ts'
import type { Importer } from './importer.ts'

/**
 * The folder of minstore: a file for each record, named by its uid, with the record as JSON: `{"uid", "value",
 * "timestamp", "check_sum", "lang", "size"}`. The dialect keeps the same record as the value of a member.
 */
export const minstore: Importer = {
  operand: 'DIR',
  collection: 'text',
  options: [],
  async open(folder) {
    const stats = statSync(folder)
    if (!stats.isDirectory())
      throw new SourceError(`${folder} is no folder: minstore keeps a file for each record`)
    const names = readdirSync(folder, { encoding: 'buffer' }).toSorted(Buffer.compare)
    let count = 0
    return {
      identity: identityOf(stats),
      total: names.length,
      read(cursor) {
        const groups = names.values().map((name) => {
          count++
          return [entryOf(folder, name)]
        })
        return countedBatches(groups, cursor, () => count)
      },
    }
  },
}

function entryOf(folder: string, name: Buffer): SourceEntry {
  if (!isUtf8(name)) return rejectedBinaryKey(name)
  const key = name.toString()
  const path = join(folder, key)
  if (!lstatSync(path).isFile()) return { key, code: 'damaged', reason: 'it is no file, and so no record' }
  if (statSync(path).size > maxValueBytes)
    return { key, code: 'too_large', reason: `the record has more than ${maxValueBytes} bytes` }
  const bytes = readFileSync(path)
  const text = isUtf8(bytes) ? bytes.toString() : null
  if (text === null || !isRecord(text)) {
    return { key, code: 'damaged', reason: 'the file holds no record: a JSON object with "uid" and "value"' }
  }
  return { key, value: jsonValue(text), expiresAtMs: null }
}

function isRecord(text: string): boolean {
  if (!text.trimStart().startsWith('{') || !isJson(text)) return false
  const record = JSON.parse(text)
  return 'uid' in record && 'value' in record
}
