import { afterAll, beforeAll, expect, test } from 'bun:test'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { writeJq } from './support/jq.ts'
import { kvistProgram, newFolder, startServer, type TestServer } from './support/server.ts'
import { runToEnd } from './support/spawn.ts'

/** docs/cli.md does what it says: its commands run one after the other, as a person would type them. */

let server: TestServer
const folder = newFolder()
beforeAll(async () => {
  server = await startServer()
  // What a person is expected to have.
  writeJq(folder)
  writeFileSync(
    join(folder, 'users.ndjson'),
    '{"key":"ann","value":{"name":"Ann"}}\n{"key":"bo","value":{"name":"Bo"}}\n',
  )
})
afterAll(async () => {
  await server.remove()
  rmSync(folder, { recursive: true, force: true })
})

test('every command of docs/cli.md works', async () => {
  const page = readFileSync(join(import.meta.dir, '../docs/cli.md'), 'utf8')
  const blocks = [...page.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block]) => block)
  expect(blocks.length).toBeGreaterThan(4)
  const { exitCode, stdout, stderr } = await runToEnd(
    ['bash', '-e', '-o', 'pipefail', '-c', blocks.join('\n')],
    {
      cwd: folder,
      env: {
        PATH: `${folder}:${dirname(kvistProgram)}:${process.env.PATH}`,
        HOME: folder,
        KVIST_URL: server.url,
      },
    },
  )
  const lines = stdout.split('\n').map((line) => line.replace(/"revision":\d+|\d{4}-[\d-]+T[\d:.]+Z/g, ''))
  expect({ exitCode, stderr: stderr.replace(/token \w+ |until \S+;/g, '') }).toEqual({
    exitCode: 0,
    stderr: [
      'stored 2, failed 0',
      'exported 2',
      'deleted 1',
      'by_name is ready',
      'dropped by_name',
      'checked 1, 0 break the schema',
      'set the schema of users',
      'removed the schema of users',
      'may read,write:users read:logs  it is shown only now',
      '',
    ]
      .map((line) => line && `kvist: ${line}\n`)
      .join(''),
  })
  expect(stdout).toContain('"hello"hello"hello"\n"backup of ')
  expect(lines).toContain('Bo')
  expect(lines).toContain('app\tread,write:users read:logs\t-\t')
  expect(stdout).toContain('"value":{"name":"Ada","city":"London","tags":["a"],"visits":1}')
})
