import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseConfig } from './config.ts'
import { readServersFile } from './servers-file.ts'

/** The file of `--servers`, in minstore's format. */

const elsewhere = { host: '127.0.0.1', port: 9999 }
let folder: string
let path: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'kvist-servers-'))
  path = join(folder, 'servers.list')
})
afterAll(() => rmSync(folder, { recursive: true }))

function read(text: string, own = elsewhere) {
  writeFileSync(path, text)
  return readServersFile(path, own)
}

test.each([
  ['', [], false],
  ['\n\n', [], false],
  ['*', [], true],
  ['http://127.0.0.1:8001\nhttp://127.0.0.1:8002', ['http://127.0.0.1:8001', 'http://127.0.0.1:8002'], false],
  [
    '*\r\nhttp://127.0.0.1:8001\r\nhttps://b.example/\r\n',
    ['http://127.0.0.1:8001', 'https://b.example'],
    true,
  ],
  ['\ufeff# ours\n\n  *  \n# theirs\n\thttp://192.168.2.56:8001/ \n', ['http://192.168.2.56:8001'], true],
  ['http://b.example/base/', ['http://b.example/base'], false],
])('%j', (text, targets, isBridge) => {
  expect(read(text)).toEqual({ targets, isBridge })
})

test.each([
  ['http://127.0.0.1:8001\n127.0.0.1:8002', 2, 'is not the http or https URL of a server'],
  ['# one\r\n\r\nftp://b.example\r\n', 3, 'is not the http'],
  ['http://127.0.0.1:8001\n*\n', 2, 'is *, which goes into the first line'],
  ['*\n*\n', 2, 'is *, which goes into the first line'],
  ['http://user:secret@b.example', 1, 'is not the http'],
  ['http://b.example # ours', 1, 'is not the http'],
  ['http://a.example http://b.example', 1, 'is not the http'],
  [`http://b.example/${'x'.repeat(600)}`, 1, 'is not the http'],
  ['\0', 1, 'is not the http'],
])('%j is refused with its line', (text, line, why) => {
  expect(() => read(text)).toThrow(`line ${line} of ${path} ${why}`)
  expect(() => read(text)).not.toThrow('secret')
})

test('a file that is missing, or none, is named', () => {
  const none = join(folder, 'none')
  expect(() => readServersFile(none, elsewhere)).toThrow(`the servers file ${none} cannot be read: ENOENT`)
  const other = join(folder, 'folder')
  mkdirSync(other)
  expect(() => readServersFile(other, elsewhere)).toThrow(`${other} cannot be read: EISDIR`)
})

describe('the server itself is left out', () => {
  const [address = '127.0.0.1'] = Object.values(networkInterfaces()).flatMap((all) =>
    (all ?? []).filter(({ family }) => family === 'IPv4').map((one) => one.address),
  )

  test.each([
    ['127.0.0.1', 'http://127.0.0.1:8001', true],
    ['127.0.0.1', 'http://localhost:8001/', true],
    ['127.0.0.1', 'http://127.0.0.1:8002', false],
    ['127.0.0.1', 'http://127.0.0.2:8001', false],
    ['127.0.0.1', 'http://[::1]:8001', false],
    ['localhost', 'http://[::1]:8001', true],
    ['::1', 'http://[::1]:8001', true],
    ['a.example', 'http://A.example:8001', true],
    ['a.example', 'http://localhost:8001', false],
    ['0.0.0.0', 'http://localhost:8001', true],
    ['0.0.0.0', `http://${address}:8001`, true],
    ['0.0.0.0', 'http://192.0.2.77:8001', false],
  ])('at %s, %s: %s', (host, url, isOwn) => {
    expect(read(url, { host, port: 8001 }).targets).toHaveLength(isOwn ? 0 : 1)
  })

  test('by the usual port of its scheme', () => {
    expect(read('http://a.example', { host: 'a.example', port: 80 }).targets).toEqual([])
    expect(read('https://a.example', { host: 'a.example', port: 443 }).targets).toEqual([])
    expect(read('https://a.example', { host: 'a.example', port: 80 }).targets).toHaveLength(1)
  })
})

test('as minstore had it: all servers can have the same file', () => {
  writeFileSync(path, 'http://127.0.0.1:8001\nhttp://127.0.0.1:8002\n')
  const config = (...args: string[]) => parseConfig(args, {})
  const minstore = config('--dialect', 'minstore', '--servers', path, '--data', folder, '--port', '8001')
  expect(minstore).toMatchObject({ mirrorTo: ['http://127.0.0.1:8002'], bridge: false, asksToBridge: false })
  expect(config('--servers', path)).toMatchObject({ mirrorTo: { length: 2 } })
  writeFileSync(path, '*\nhttp://127.0.0.1:8001\n')
  const alone = config('--dialect', 'minstore', '--servers', path, '--port', '8001')
  expect(alone).toMatchObject({ mirrorTo: [], bridge: true, asksToBridge: true })
  expect(config('--bridge', '--mirror-to', 'http://127.0.0.1:8001')).toMatchObject({
    bridge: true,
    asksToBridge: false,
  })
})
