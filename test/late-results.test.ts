import { test } from 'bun:test'
import { isLongRun } from './support/long-run.ts'
import { expectToPass } from './support/test-run.ts'

/**
 * The tests of the core and of HTTP in process once more, on an engine whose results all come late:
 * no caller may count on one that comes at once, as those in memory and of SQLite do.
 */
const files = [
  'src/core/database.test.ts',
  'src/core/writes.test.ts',
  'src/core/quota.test.ts',
  'src/core/sliding.test.ts',
  'src/core/feed',
  'src/http/v1/collections.test.ts',
  'test/access.test.ts',
  'test/v1-conditions.test.ts',
  'test/v1-content.test.ts',
  // What it adds to the writes of the others is in front of the engine.
  ...(isLongRun ? ['test/v1-encoded-bodies.test.ts'] : []),
  'test/v1-expiry-words.test.ts',
  'test/v1-origin.test.ts',
  'test/v1-ranges.test.ts',
]

test('nothing relies on results that come at once', () =>
  expectToPass(files, { KVIST_TEST_ENGINE: 'late' }, 121))
