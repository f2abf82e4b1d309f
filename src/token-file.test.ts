import { afterAll, expect, test } from 'bun:test'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseConfig } from './config.ts'
import { UsageError } from './options.ts'
import { tokenFileWarning } from './token-file.ts'

const folder = mkdtempSync(join(tmpdir(), 'kvist-token-'))
afterAll(() => rmSync(folder, { recursive: true }))
const path = join(folder, 'token')

function holding(text: string): string {
  writeFileSync(path, text)
  chmodSync(path, 0o600)
  return path
}

test('the token is that of the file, without the white space around it', () => {
  for (const text of ['sesame', 'sesame\n', ' \r\n sesame\t\n\n'])
    expect(parseConfig(['--token-file', holding(text)], {}).token).toBe('sesame')
  const config = parseConfig(['--host', '0.0.0.0'], { KVIST_TOKEN_FILE: path })
  expect(config).toMatchObject({ token: 'sesame', tokenFile: path })
})

const range = 'one or more visible ASCII characters, without spaces'

test.each([
  ['', `the token file ${path} is empty: it must hold ${range}`],
  [' \n', `the token file ${path} is empty: it must hold ${range}`],
  ['open sesame', `the token file ${path} must hold ${range}`],
  ['open\nsesame', `the token file ${path} must hold ${range}`],
  ['sésame', `the token file ${path} must hold ${range}`],
  ['x'.repeat(4097), `the token file ${path} must hold ${range}`],
])('a file with %j is refused, without its content', (text, message) => {
  expect(() => parseConfig(['--token-file', holding(text)], {})).toThrow(new UsageError(message))
})

test('a file that cannot be read, or that contradicts another option, is refused', () => {
  const missing = join(folder, 'missing')
  const refused: [args: string[], env: Record<string, string>, message: string][] = [
    [['--token-file', missing], {}, `the token file ${missing} cannot be read: ENOENT`],
    [['--token-file', folder], {}, `the token file ${folder} cannot be read: EISDIR`],
    [['--token-file', ''], {}, '--token-file is empty: it must be the path of a file'],
    [
      ['--token-file', holding('sesame')],
      { KVIST_TOKEN: 'x' },
      'KVIST_TOKEN and --token-file contradict each other: leave one of them out',
    ],
    [
      ['--token-file', path, '--no-auth'],
      {},
      '--no-auth and --token-file contradict each other: leave one of them out',
    ],
  ]
  for (const [args, env, message] of refused)
    expect(() => parseConfig(args, env)).toThrow(new UsageError(message))
})

test('a file that others may read or change is warned of', () => {
  holding('sesame')
  for (const mode of [0o400, 0o600, 0o640, 0o440]) {
    chmodSync(path, mode)
    expect(tokenFileWarning(path)).toBeNull()
  }
  const advice = `the token file ${path}: chmod 640 leaves it to its owner and group`
  for (const [mode, what] of [
    [0o604, 'read'],
    [0o644, 'read'],
    [0o622, 'change'],
    [0o666, 'change'],
  ] as const) {
    chmodSync(path, mode)
    expect(tokenFileWarning(path)).toBe(`other users may ${what} ${advice}`)
  }
})
