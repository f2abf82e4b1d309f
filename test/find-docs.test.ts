import { afterAll, beforeAll, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { kvistProgram, startServer, type TestServer } from './support/server.ts'
import { runToEnd } from './support/spawn.ts'

/** The example of docs/find.md does what it says: minstore's texts of a language, newest first, by an index. */

let server: TestServer
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.remove())

test('the newest texts of a language are found by an index', async () => {
  const page = readFileSync(join(import.meta.dir, '../docs/find.md'), 'utf8')
  const section = page.split(/^## /m).find((one) => one.startsWith('An example')) ?? ''
  const [, commands = ''] = /^```sh\n(.*?)^```$/ms.exec(section) ?? []
  expect(commands).not.toBe('')
  const { exitCode, stdout, stderr } = await runToEnd(
    ['bash', '-e', '-c', commands.replaceAll('localhost:7070', server.url)],
    { env: { PATH: `${dirname(kvistProgram)}:${process.env.PATH}`, KVIST_URL: server.url } },
  )
  expect([exitCode, stderr.match(/kvist: .*/g)]).toEqual([0, ['kvist: newest is ready']])
  // minstore's responses before it do not end with a line feed.
  const lines = stdout
    .slice(stdout.indexOf('{"key":'))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  expect(lines.slice(0, 2).map(({ key, value }) => [key, value])).toEqual([
    ['andra', { uid: 'andra', size: expect.any(Number) }],
    ['första', { uid: 'första', size: expect.any(Number) }],
  ])
  expect(lines[2]).toEqual({ index: 'newest', examined: 2, returned: 2, sorted_in_memory: false })
  expect(lines[3]).toMatchObject({ count: 2, complete: true, members: [{ key: 'andra' }, { key: 'första' }] })
})
