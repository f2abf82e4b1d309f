import { expect, test } from 'bun:test'

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
  'test/v1-encoded-bodies.test.ts',
  'test/v1-expiry-words.test.ts',
  'test/v1-origin.test.ts',
  'test/v1-ranges.test.ts',
]

test('nothing relies on results that come at once', async () => {
  const child = Bun.spawn(
    [process.execPath, '--no-env-file', 'test', '--only-failures', '--timeout=30000', ...files],
    {
      cwd: `${import.meta.dir}/..`,
      env: { ...process.env, KVIST_TEST_ENGINE: 'late' },
      stdin: 'ignore',
      stdout: 'pipe',
      stderr: 'pipe',
    },
  )
  const [stdout, stderr, exitCode] = await Promise.all([
    child.stdout.text(),
    child.stderr.text(),
    child.exited,
  ])
  const output = `${stdout}${stderr}`
  if (exitCode !== 0) console.log(output)
  expect(exitCode).toBe(0)
  // All of the files were found, and their tests run.
  expect(Number(/^\s*(\d+) pass$/m.exec(output)?.[1])).toBeGreaterThan(120)
})
