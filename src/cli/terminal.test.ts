import { afterAll, beforeAll, expect, test } from 'bun:test'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { run, runOnTerminal } from '../../test/support/program.ts'
import { newFolder, startServer, type TestServer } from '../../test/support/server.ts'

/** What only a terminal sees: prompts, columns, the progress bar. */

let server: TestServer
let env: Record<string, string>
const folder = newFolder()

beforeAll(async () => {
  server = await startServer()
  env = { KVIST_URL: server.url }
})
afterAll(async () => {
  await server.remove()
  rmSync(folder, { recursive: true, force: true })
})

async function screenOf(args: readonly string[]): Promise<string> {
  const terminal = runOnTerminal(args, { env })
  expect(await terminal.exited).toBe(0)
  return terminal.screen()
}

test('put asks for what is missing', async () => {
  const both = runOnTerminal(['put'], { env })
  await both.shows('key: ')
  both.type('asked\r')
  await both.shows('value: ')
  both.type('for it\r')
  expect(await both.exited).toBe(0)
  expect((await run(['get', 'asked'], { env })).stdout.toString()).toBe('"for it"')

  const value = runOnTerminal(['put', 'asked'], { env })
  await value.shows('value: ')
  value.type('42\r')
  expect(await value.exited).toBe(0)
  expect((await run(['get', 'asked'], { env })).stdout.toString()).toBe('42')
})

test('Ctrl-C at a prompt ends with 130, Ctrl-D with 1, and nothing is stored', async () => {
  for (const [typed, exitCode] of [
    ['\u0003', 130],
    ['\u0004', 1],
  ] as const) {
    const terminal = runOnTerminal(['put', 'never'], { env })
    await terminal.shows('value: ')
    terminal.type(typed)
    expect(await terminal.exited).toBe(exitCode)
  }
  expect((await run(['get', 'never'], { env })).exitCode).toBe(1)
})

test('a value on a terminal ends with a line feed of its own', async () => {
  await run(['put', 'line', 'x'], { env })
  expect(await screenOf(['get', 'line'])).toBe('"x"\r\n')
  await run(['put', 'line', '-'], { env, stdin: '1\n' })
  expect(await screenOf(['get', 'line'])).toBe('1\r\n')
})

test('columns are aligned, cut at the width of the terminal, and free of control characters', async () => {
  await run(['put', '-c', 'wide', 'a\u001b[2J', '1'], { env })
  await run(['put', '-c', 'wide', 'long key', `"${'x'.repeat(200)}"`], { env })
  expect(await screenOf(['list', '-c', 'wide'])).toBe('a\\u001b[2J\r\nlong key\r\n')
  const [headings, ...rows] = (await screenOf(['list', '-c', 'wide', '--include', 'values'])).split('\r\n')
  expect([headings, ...rows]).toEqual([
    'KEY         VALUE',
    'a\\u001b[2J  1',
    `long key    "${'x'.repeat(87)}`,
    '',
  ])
})

test('import and export show a bar with rate and time left, and take it away', async () => {
  const file = join(folder, 'bar.ndjson')
  const line = (i: number) => `${JSON.stringify({ key: `k${i}`, value: 'x'.repeat(2000) })}\n`
  writeFileSync(file, Array.from({ length: 6000 }, (_, i) => (i === 3000 ? 'oops\n' : line(i))).join(''))
  const terminal = runOnTerminal(['import', '-c', 'bar', file], { env })
  await terminal.shows(`kvist: ${file}:3001: invalid_json: `)
  await terminal.shows('kvist: stored 5999, failed 1\r\n')
  expect(await terminal.exited).toBe(1)
  expect(terminal.screen()).toMatch(/import \[[=-]{24}\] +\d+% \| \d+ members \| \d+\/s \| (\?|\d+s) left/)

  const screen = await screenOf(['export', '-c', 'bar', join(folder, 'out.ndjson')])
  expect(screen).toMatch(/export \[=*-*\] +\d+% \| \d+ members/)
  expect(screen).toEndWith('kvist: exported 5999\r\n')
  expect(await screenOf(['export', '-q', '-c', 'bar', join(folder, 'out.ndjson')])).toBe('')
})
