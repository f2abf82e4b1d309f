import { copyFileSync, mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { outputOf } from './spawn.ts'

const root = join(import.meta.dir, '../..')

/** The executable that `npm test` has built for all tests: see scripts/test-program.mjs. */
export const builtExecutable = process.env.KVIST_TEST_EXECUTABLE

/** Makes the executable as `npm run build` does, at a place of the test's own; or copies it where it has been built. */
export async function buildExecutable(path: string): Promise<void> {
  if (builtExecutable !== undefined) {
    mkdirSync(dirname(path), { recursive: true })
    copyFileSync(builtExecutable, path)
    return
  }
  await outputOf([process.execPath, '--no-env-file', 'scripts/build.ts', path], { cwd: root })
}

/** Makes the package of the client as `npm run build:sdk` does, at a place of the test's own. */
export async function buildSdk(folder: string): Promise<void> {
  await outputOf([process.execPath, '--no-env-file', 'scripts/build-sdk.ts', folder], { cwd: root })
}
