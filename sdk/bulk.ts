import {
  anything,
  checkFields,
  checkValue,
  contentType,
  optional,
  type Rule,
  type Rules,
  text,
  wholeNumber,
} from './checks.ts'
import { checkOneExpiry, expiryRules } from './expiry.ts'
import type { ImportItem, ImportSummary, Member } from './types.ts'
import { valueMembers } from './values.ts'

/**
 * The size of a chunk. An import is sent in chunks of whole lines, one request after the other: that takes no more
 * memory than one chunk, needs no runtime that streams request bodies, and a chunk that a busy server rejects can be
 * sent again.
 */
const chunkChars = 1024 * 1024
/** The failures that a summary names, as many as one response of the server does. */
const maxNamedFailures = 1000

/** Sends all items in chunks and returns the total. The next chunk is filled while one is being sent. */
export async function importAll(
  items: Iterable<ImportItem<unknown>> | AsyncIterable<ImportItem<unknown>>,
  send: (lines: string) => Promise<ImportSummary>,
): Promise<ImportSummary> {
  checkValue('the items', items, iterable)
  const sum = new Sum()
  let sent: Promise<void> = Promise.resolve()
  let chunk = ''
  let lines = 0

  function sendChunk(): void {
    const before = sum.lines
    sum.lines += lines
    sent = send(chunk).then((summary) => sum.add(summary, before))
    sent.catch(() => {}) // it is awaited later
    chunk = ''
    lines = 0
  }

  for await (const item of items) {
    lines++
    chunk += lineOf(item, sum.lines + lines)
    if (chunk.length < chunkChars) continue
    await sent
    sendChunk()
  }
  await sent
  if (lines > 0) sendChunk()
  await sent
  return sum.summary()
}

const iterable: Rule = (given) =>
  typeof given === 'object' && given !== null && (Symbol.iterator in given || Symbol.asyncIterator in given)
    ? null
    : 'an array or another iterable'

/** The fields of a listed member that an import ignores, so that a listed member can be imported as it is. */
type Ignored = Omit<Member<unknown>, keyof ImportItem<unknown>>

const itemRules: Rules<ImportItem<unknown> & Ignored> = {
  key: text, // a bad key is a failure that the summary names
  value: anything, // it is checked where it is encoded
  ...expiryRules,
  content_type: optional(contentType),
  flags: optional(wholeNumber(0)),
  revision: anything,
  created_at: anything,
  updated_at: anything,
  origin: anything,
}

/** Returns the line of an item; `number` counts from 1. */
function lineOf(item: ImportItem<unknown>, number: number): string {
  const where = `item ${number}: `
  checkFields(item, itemRules, where)
  checkOneExpiry(item, where)
  const { key, value, content_type, expire_in, expire_at, expires_at, flags } = item
  const others = JSON.stringify({ key, expire_in, expire_at, expires_at, flags }).slice(0, -1)
  return `${others},${valueMembers(value, content_type, `${where}the value`)}}\n`
}

class Sum {
  lines = 0
  #stored = 0
  #unnamed = 0
  readonly #failed: ImportSummary['failed'][number][] = []

  add({ stored, failed, failed_more: unnamed = 0 }: ImportSummary, linesBefore: number): void {
    const named = failed.slice(0, maxNamedFailures - this.#failed.length)
    this.#stored += stored
    this.#failed.push(...named.map((failure) => ({ ...failure, line: linesBefore + failure.line })))
    this.#unnamed += unnamed + failed.length - named.length
  }

  summary(): ImportSummary {
    const more = this.#unnamed === 0 ? {} : { failed_more: this.#unnamed }
    return { stored: this.#stored, failed: this.#failed, ...more }
  }
}
