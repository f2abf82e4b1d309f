import { afterAll, beforeAll, expect, test } from 'bun:test'
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { membersOf } from './support/imports.ts'
import { run, runOnTerminal, start } from './support/program.ts'
import { newFolder, startServer, type TestServer } from './support/server.ts'

/** `kvist import --from` as a process: standard input, a terminal, a signal. */

let server: TestServer
const folder = newFolder()
beforeAll(async () => {
  server = await startServer()
})
afterAll(async () => {
  await server.remove()
  rmSync(folder, { recursive: true, force: true })
})

function manyRows(count: number): string {
  return `id,text\n${Array.from({ length: count }, (_, i) => `${i},${'x'.repeat(2000)}\n`).join('')}`
}

test('standard input', async () => {
  const args = ['import', '--from', 'csv', '--key', 'id', '-c', 'piped', '-']
  const { exitCode, stderr } = await run(args, { env: { KVIST_URL: server.url }, stdin: 'id,a\n1,2\n' })
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: 'kvist: stored 1, not taken 0\n' })
  expect(await membersOf(server.url, 'piped')).toEqual({ '1': { value: { id: '1', a: '2' } } })
})

test('an import that Ctrl-C ended goes on where it was', async () => {
  const file = join(folder, 'rows.csv')
  writeFileSync(file, manyRows(6000))
  const args = ['import', '--from', 'csv', '--key', 'id', '-c', 'rows', file]
  const child = start(args, { KVIST_URL: server.url })
  while (!existsSync(`${file}.kvist-progress`) && child.exitCode === null) await Bun.sleep(1)
  child.kill('SIGINT')
  const stderr = await child.stderr.text()
  expect(await child.exited).toBe(130)
  const stored = /^kvist: interrupted; the same command resumes after (\d+) that were stored\n$/.exec(
    stderr,
  )?.[1]
  expect(Number(stored)).toBeGreaterThan(0)
  const again = await run(args, { env: { KVIST_URL: server.url } })
  expect(again).toMatchObject({
    exitCode: 0,
    stderr: `kvist: resuming after ${stored} of ${file}\nkvist: stored 6000, not taken 0\n`,
  })
  expect(existsSync(`${file}.kvist-progress`)).toBe(false)
  expect(Object.keys(await membersOf(server.url, 'rows')).length).toBe(6000)
})

test('on a terminal there is a bar, and what was not taken stays above it', async () => {
  const file = join(folder, 'bar.csv')
  writeFileSync(file, `${manyRows(2500)}bad\n`)
  const args = ['import', '--from', 'csv', '--key', 'id', '-c', 'bar', file]
  const terminal = runOnTerminal(args, { env: { KVIST_URL: server.url } })
  await terminal.shows('import [')
  await terminal.shows('the header 2')
  await terminal.shows('stored 2500, not taken 1 (1 damaged)')
  expect(await terminal.exited).toBe(1)
})
