import { join } from 'node:path'
import { outputOf } from './spawn.ts'

const root = join(import.meta.dir, '../..')

/** Makes the executable as `npm run build` does, at a place of the test's own. */
export async function buildExecutable(path: string): Promise<void> {
  await outputOf([process.execPath, '--no-env-file', 'scripts/build.ts', path], { cwd: root })
}

/** Makes the package of the client as `npm run build:sdk` does, at a place of the test's own. */
export async function buildSdk(folder: string): Promise<void> {
  await outputOf([process.execPath, '--no-env-file', 'scripts/build-sdk.ts', folder], { cwd: root })
}
