import { describe } from 'bun:test'
import { checkPromises } from './conformance/checks.ts'
import { commitPromises } from './conformance/commits.ts'
import { feedPromises } from './conformance/feed.ts'
import { forgettingPromises } from './conformance/forgetting.ts'
import { keyPromises } from './conformance/keys.ts'
import { lifePromises } from './conformance/life.ts'
import { originPromises } from './conformance/origins.ts'
import { pageBytePromises } from './conformance/page-bytes.ts'
import { quotaPromises } from './conformance/quotas.ts'
import { renewalPromises } from './conformance/renewals.ts'
import { setbackPromises } from './conformance/setbacks.ts'
import { spanPromises } from './conformance/spans.ts'
import { statsPromises } from './conformance/stats.ts'
import { type Differences, type OpenEngine, suiteOf } from './conformance/store.ts'
import { valuePromises } from './conformance/values.ts'

/**
 * The suite that every engine passes: it tests each promise of `core/engine.ts`. `open` opens a named store, and the same
 * store again after it was closed; `differences` states where this engine may differ from others.
 */
export function conformance(name: string, open: OpenEngine, differences: Differences): void {
  const suite = suiteOf(open, differences)
  describe(`${name} keeps the engine's promises`, () => {
    describe('commits', () => commitPromises(suite))
    describe('checks', () => checkPromises(suite))
    describe('what a commit spans', () => spanPromises(suite))
    describe('keys and scans', () => keyPromises(suite))
    describe('values', () => valuePromises(suite))
    describe('changes and counts', () => feedPromises(suite))
    describe('bytes of pages', () => pageBytePromises(suite))
    describe('renewals', () => renewalPromises(suite))
    describe('origins', () => originPromises(suite))
    describe('quotas', () => quotaPromises(suite))
    describe('forgetting', () => forgettingPromises(suite))
    describe('setbacks', () => setbackPromises(suite))
    describe('open and close', () => lifePromises(suite))
    describe('numbers', () => statsPromises(suite))
  })
}
