import { z } from 'zod'
import { KvistCompactedError } from '../../../sdk/client.ts'
import { monotonicMs } from '../../runtime/clock.ts'
import { parseExactly } from '../exact-json.ts'
import { AgentError, collectionIn } from './reach.ts'
import { type ExactMember, jsonLines, maxResultChars, shownMember } from './shown.ts'
import { collectionInput, filterInput, limitInput, prefixInput, tool } from './tool.ts'

const maxWaitSeconds = 300
/** Less than the minute that many clients give a call. */
const usualWaitSeconds = 25

export const watchTool = tool({
  title: 'Wait for changes',
  description:
    'Waits until members of a collection change, and returns the changes: put with the new value, delete, expire. Returns at once if ' +
    'there are changes after `since`, and without changes when the time is over. Pass the `next` of a result as `since` of the next ' +
    'call, and no change is missed between them.',
  input: z.strictObject({
    collection: collectionInput,
    key: z.string().optional().describe('Only this member, which need not exist'),
    prefix: prefixInput,
    filter: filterInput,
    since: z
      .string()
      .optional()
      .describe('The `next` of a result before; 0 returns what exists first; without it the wait begins now'),
    wait_seconds: z
      .int()
      .min(0)
      .max(maxWaitSeconds)
      .default(usualWaitSeconds)
      .describe('How long to wait; clients have time limits of their own'),
    limit: limitInput(100, 20),
  }),
  async run(reach, { collection: name, key, prefix, filter, since, wait_seconds, limit }, signal) {
    if (key !== undefined && (prefix ?? filter) !== undefined)
      throw new AgentError('key names one member: it goes with neither prefix nor filter')
    const collection = collectionIn(reach, name)
    const scope = key === undefined ? { prefix, filter } : { prefix: key }
    const endMs = monotonicMs() + wait_seconds * 1000
    let from = since ?? 'now'
    for (;;) {
      const waitMs = Math.max(1, Math.round(endMs - monotonicMs()))
      const text = await collection
        .changesText({ ...scope, since: from, waitMs, limit, signal })
        .catch(refuseCompacted)
      const { changes, next, at_end }: ExactPage = parseExactly(text)
      from = pointOf(next)
      // A page cannot be cut: the resume points between its changes are the server's.
      const valueChars = Math.floor(maxResultChars / Math.max(1, changes.length))
      const items = changes
        .filter((change) => key === undefined || change.key === key)
        .map((change) => shownMember(change, valueChars))
      if (items.length > 0 || (at_end === true && monotonicMs() >= endMs))
        return `{"changes": ${jsonLines(items)}, "next": ${JSON.stringify(from)}}`
    }
  },
})

interface ExactPage {
  readonly changes: readonly ExactMember[]
  readonly next: unknown
  readonly at_end?: boolean
}

function pointOf(revision: unknown): string {
  return typeof revision === 'string' ? revision : JSON.stringify(revision)
}

function refuseCompacted(error: unknown): never {
  if (!(error instanceof KvistCompactedError)) throw error
  throw new AgentError(
    `the store does not remember the changes since then, only those since ${error.oldest}: read what there is, and watch without since`,
  )
}
