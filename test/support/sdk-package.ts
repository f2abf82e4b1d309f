import { join } from 'node:path'

const root = join(import.meta.dir, '../..')

/** Makes the package of the client as `npm run build:sdk` does, at a place of the test's own. */
export async function buildSdk(folder: string): Promise<void> {
  const child = Bun.spawn([process.execPath, '--no-env-file', 'scripts/build-sdk.ts', folder], {
    cwd: root,
    stdout: 'pipe',
    stderr: 'pipe',
  })
  const [stdout, stderr, exitCode] = await Promise.all([
    child.stdout.text(),
    child.stderr.text(),
    child.exited,
  ])
  if (exitCode !== 0) throw new Error(`the build ended with ${exitCode}: ${stdout}${stderr}`)
}
