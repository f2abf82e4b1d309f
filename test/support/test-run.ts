import { expect } from 'bun:test'

/**
 * Runs test files in a process of their own, with variables of the environment added, as `KVIST_TEST_ENGINE` needs it. All
 * must pass, and be `least` tests or more: files that are not found would pass, too.
 */
export async function expectToPass(
  files: readonly string[],
  variables: Readonly<Record<string, string>>,
  least: number,
): Promise<void> {
  const child = Bun.spawn(
    [process.execPath, '--no-env-file', 'test', '--only-failures', '--timeout=120000', ...files],
    {
      cwd: `${import.meta.dir}/../..`,
      env: { ...process.env, ...variables },
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
  expect(Number(/^\s*(\d+) pass$/m.exec(output)?.[1])).toBeGreaterThanOrEqual(least)
}
