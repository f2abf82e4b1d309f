import { afterAll, expect, test } from 'bun:test'
import { rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { newFolder, startServer } from './support/server.ts'
import { runToEnd } from './support/spawn.ts'

/** `bin/kvist` of a checkout, where all other tests may run the executable. */

const folder = newFolder()
const linked = join(folder, 'kvist')
symlinkSync(join(import.meta.dir, '../bin/kvist'), linked)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('wherever it is linked from, it passes on arguments, streams, variables, signals and the exit code', async () => {
  const server = await startServer({ command: [linked, 'serve'] })
  const env = { PATH: process.env.PATH, KVIST_URL: server.url }
  const kvist = (args: string[], stdin = '') =>
    runToEnd([linked, ...args], { cwd: folder, env, stdin: new Blob([stdin]) })
  expect(await kvist(['put', 'greeting', '-'], '"a b"')).toMatchObject({ exitCode: 0 })
  expect(await kvist(['get', 'greeting'])).toMatchObject({ exitCode: 0, stdout: '"a b"', stderr: '' })
  expect(await kvist(['get', 'no such'])).toMatchObject({ exitCode: 1, stdout: '' })
  // SIGTERM reaches the server itself, which ends well.
  expect(await server.stop()).toBe(0)
  await server.remove()
})
