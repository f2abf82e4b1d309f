import { describe, expect, test } from 'bun:test'
import { converse, toy } from '../../test/support/memcached/conversation.ts'
import recorded from './recorded.json'

/**
 * recorded.json holds conversations with memcached 1.6.18, made comparable by conversation.ts. Where kvist responds
 * something else on purpose, the step says what and why.
 */
interface Step {
  readonly ask: string
  readonly memcached: string
  readonly kvist?: string
  readonly why?: string
}

const conversations: readonly { readonly about: string; readonly steps: readonly Step[] }[] = recorded

describe('responds as memcached 1.6.18', () => {
  for (const { about, steps } of conversations) {
    test(about, async () => {
      const asks = steps.map((step) => step.ask)
      const responses = await converse(asks, toy())
      expect(responses.map((response, i) => [asks[i], response])).toEqual(
        steps.map((step) => [step.ask, step.kvist ?? step.memcached]),
      )
    })
  }

  test('a difference is one, and says why', () => {
    for (const { steps } of conversations) {
      for (const { memcached, kvist, why } of steps) {
        expect(typeof kvist).toBe(typeof why)
        expect(kvist).not.toBe(memcached)
      }
    }
  })
})
