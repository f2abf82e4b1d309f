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
 * An import is sent in chunks of whole lines, one request after the other: that takes no more memory than one chunk,
 * needs no runtime that streams the body of a request, and a chunk that a busy server rejects can be sent again.
 */
const chunkChars = 1024 * 1024
/** The server names as many failures in one response. */
const maxNamedFailures = 1000

/** While a chunk is on its way the next one is filled. */
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

/** What a list shows beside what is stored; it is passed over, so that a listed member can be given back as it is. */
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

/** The line of an item, which is the one of this number, from 1. */
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
