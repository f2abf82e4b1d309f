import { afterAll, beforeAll, expect, test } from 'bun:test'
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { run, start } from '../../test/support/program.ts'
import { kvistProgram, newFolder, startServer, type TestServer } from '../../test/support/server.ts'

/** Import and export, against a real server, and what becomes of them when they are interrupted. */

let server: TestServer
const folder = newFolder()

beforeAll(async () => {
  server = await startServer()
})
afterAll(async () => {
  await server.remove()
  rmSync(folder, { recursive: true, force: true })
})

function kvist(args: readonly string[], stdin: string | Uint8Array<ArrayBuffer> = '') {
  return run(args, { env: { KVIST_URL: server.url }, stdin })
}

/** Values of 2 kB, so that an import has several requests without many lines. */
function manyLines(count: number): string[] {
  const filler = 'x'.repeat(2000)
  return Array.from(
    { length: count },
    (_, i) => `{"key":"k${String(i).padStart(6, '0')}","value":"${i} ${filler}"}\n`,
  )
}

const special = [
  '{"key":"a/b c","value":{"z": 1.0,  "big":12345678901234567890},"expires_at":null}\n',
  '{"key":"bytes","value_base64":"AP8KDYA=","content_type":"image/png","expires_at":null}\n',
  '{"key":"expires","value":[null],"expires_at":"2999-01-01T00:00:00.000Z"}\n',
  '{"key":"typed","value":1,"content_type":"application/vnd.x+json","expires_at":null}\n',
  '{"key":"ü\\u0001","value":"\\ud83c\\udf3f","expires_at":null}\n',
].join('')

test('what was exported is what was imported, byte for byte', async () => {
  const [file, copy] = [join(folder, 'special.ndjson'), join(folder, 'copy.ndjson')]
  writeFileSync(file, special)
  const imported = await kvist(['import', '-c', 'special', file])
  expect(imported).toMatchObject({ exitCode: 0, stderr: 'kvist: stored 5, failed 0\n' })
  const exported = await kvist(['export', '-c', 'special', copy])
  expect(exported).toMatchObject({ exitCode: 0, stderr: 'kvist: exported 5\n' })
  expect(readFileSync(copy, 'utf8')).toBe(special)
  expect((await kvist(['export', '-q', '-c', 'special', '-'])).stdout.toString()).toBe(special)
  expect((await kvist(['export', '-c', 'special', '-', '--prefix', 'b'])).stdout.toString()).toContain(
    '"bytes"',
  )
  expect((await kvist(['export', '-c', 'nothing', '-'])).stderr).toBe('kvist: exported 0\n')
})

test('into a collection with a default time to live everything comes as it was: what never expires, flags, texts, types', async () => {
  const lines = [
    '{"key":"bytes","value_base64":"AP8KDYA=","content_type":"image/png","expires_at":null}\n',
    '{"key":"flagged","value":1,"expires_at":null,"flags":7}\n',
    '{"key":"json","value":{"n": 1.0},"expires_at":"2999-01-01T00:00:00.000Z"}\n',
    '{"key":"text","value_text":"grün\\r\\n\\ufeff","content_type":"text/html; charset=utf-8","expires_at":null}\n',
    '{"key":"..","value":"","expires_at":null}\n',
  ].toSorted()
  const file = join(folder, 'exact.ndjson')
  writeFileSync(file, lines.join(''))
  for (const collection of ['exact-1', 'exact-2']) {
    const settings = { method: 'PUT', body: '{"default_ttl":"1h"}' }
    expect((await fetch(`${server.url}/v1/_collections/${collection}`, settings)).ok).toBe(true)
    expect(await kvist(['import', '-q', '-c', collection, file])).toMatchObject({ exitCode: 0, stderr: '' })
    expect(await kvist(['export', '-q', '-c', collection, file])).toMatchObject({ exitCode: 0, stderr: '' })
    expect(
      readFileSync(file, 'utf8')
        .split(/(?<=\n)/)
        .toSorted(),
    ).toEqual(lines.map((line) => line.replace('\\ufeff', '\ufeff')))
  }
})

test('standard input and gzip go in, gzip comes out', async () => {
  const packed = join(folder, 'special.ndjson.gz')
  expect(await kvist(['import', '-q', '-c', 'piped', '-'], special)).toMatchObject({
    exitCode: 0,
    stderr: '',
  })
  await kvist(['export', '-c', 'piped', packed])
  expect(gunzipSync(readFileSync(packed)).toString()).toBe(special)
  expect((await kvist(['import', '-c', 'unpacked', packed])).stderr).toBe('kvist: stored 5, failed 0\n')
  expect((await kvist(['export', '-q', '-c', 'unpacked', '-'])).stdout.toString()).toBe(special)
})

test('pipes go in and out by their names, and a link stays one', async () => {
  const target = join(folder, 'target.ndjson')
  const link = join(folder, 'link.ndjson')
  symlinkSync(target, link)
  writeFileSync(target, '')
  const script = `
    "$0" import -q -c named <(printf %s "$1") && "$0" export -q -c named "$2" && "$0" export -q -c named >(cat) && sleep 0.2`
  const child = Bun.spawn(['bash', '-c', script, kvistProgram, special, link], {
    env: { PATH: process.env.PATH, KVIST_URL: server.url },
    stdout: 'pipe',
    stderr: 'pipe',
  })
  expect([await child.stdout.text(), await child.stderr.text()]).toEqual([special, ''])
  expect(lstatSync(link).isSymbolicLink()).toBe(true)
  expect(readFileSync(target, 'utf8')).toBe(special)
})

test('a broken gzip file is reported, and what came before the break is stored', async () => {
  const file = join(folder, 'broken.gz')
  const lines = manyLines(4000).map((line, i) => line.replace('xxx', `${Math.imul(i + 1, 2654435761)}`))
  writeFileSync(file, gzipSync(lines.join('')).subarray(0, -2000))
  const { exitCode, stderr } = await kvist(['import', '-c', 'broken', file])
  expect(exitCode).toBe(1)
  expect(stderr).toMatch(/^kvist: unexpected end of file\n$/)
  expect((await kvist(['get', '-c', 'broken', 'k000000'])).exitCode).toBe(0)
})

test('bad lines are named by their number in the file, whatever request they went with', async () => {
  const lines = manyLines(7000)
  lines[0] = 'oops\n'
  lines[3000] = '\n' // an empty line is none, and counts
  lines[5000] = '{"value":1}\n'
  lines[6999] = '{"key":"","value":1}' // without a line feed
  const file = join(folder, 'bad.ndjson')
  writeFileSync(file, lines.join(''))
  const { exitCode, stderr } = await kvist(['import', '-c', 'bad', file])
  expect(exitCode).toBe(1)
  expect(stderr.split('\n').map((line) => line.split(':').slice(0, 4).join(':'))).toEqual([
    `kvist: ${file}:1: invalid_json`,
    `kvist: ${file}:5001: invalid_key`,
    `kvist: ${file}:7000: invalid_key`,
    'kvist: stored 6996, failed 3',
    '',
  ])
  expect(existsSync(`${file}.kvist-progress`)).toBe(false)
})

test.each([
  ['in one request', 'oops\n'],
  // Four mebibytes go in one.
  ['in several', `${'oops'.repeat(1500)}\n`],
])('of very many bad lines %s the first thousand are named and all are counted', async (_how, line) => {
  const { exitCode, stderr } = await kvist(['import', '-c', 'bad', '-'], line.repeat(2500))
  const messages = stderr.trim().split('\n')
  expect({ exitCode, named: messages.length - 1, last: messages.at(-1) }).toEqual({
    exitCode: 1,
    named: 1000,
    last: 'kvist: stored 0, failed 2500',
  })
})

/** Starts an import that has more than one request to send, and lets the first ones go through. */
async function startImport(file: string, collection: string, url: string) {
  const child = start(['import', '-c', collection, file], { KVIST_URL: url })
  while (!existsSync(`${file}.kvist-progress`) && child.exitCode === null) await Bun.sleep(1)
  return child
}

test('an import that Ctrl-C ended goes on where it was', async () => {
  const file = join(folder, 'interrupted.ndjson')
  writeFileSync(file, manyLines(8000).join(''))
  const child = await startImport(file, 'interrupted', server.url)
  child.kill('SIGINT')
  const stderr = await child.stderr.text()
  expect(await child.exited).toBe(130)
  const line = /^kvist: interrupted; the same command resumes after line (\d+)\n$/.exec(stderr)?.[1]
  expect(Number(line)).toBeGreaterThan(0)

  await kvist(['delete', '-c', 'interrupted', 'k000000']) // it shows that the second run leaves the first lines alone
  const again = await kvist(['import', '-c', 'interrupted', file])
  expect(again).toMatchObject({
    exitCode: 0,
    stderr: `kvist: resuming after line ${line} of ${file}\nkvist: stored 8000, failed 0\n`,
  })
  expect(existsSync(`${file}.kvist-progress`)).toBe(false)
  const keys = (await kvist(['list', '-c', 'interrupted'])).stdout.toString().trim().split('\n')
  expect([keys.length, keys[0]]).toEqual([7999, 'k000001'])
})

test('an import that lost its server goes on when that is back', async () => {
  const file = join(folder, 'lost.ndjson')
  const lines = manyLines(8000)
  lines[7] = 'oops\n'
  writeFileSync(file, lines.join(''))
  const first = await startServer()
  const child = await startImport(file, 'lost', first.url)
  await first.crash()
  const stderr = await child.stderr.text()
  expect(await child.exited).toBe(1)
  expect(stderr).toMatch(/\nkvist: cannot reach .*; the same command resumes after line \d+\n$/)

  const port = `${first.port}`
  const second = await startServer({ dataFolder: first.dataFolder, flags: ['--port', port] })
  const again = await run(['import', '-c', 'lost', file], { env: { KVIST_URL: first.url } })
  const count = await run(['collections'], { env: { KVIST_URL: first.url } })
  await second.remove()
  await first.remove()
  expect(again.exitCode).toBe(1) // the bad line of the first run counts
  expect(again.stderr).toEndWith('kvist: stored 7999, failed 1\n')
  expect(count.stdout.toString()).toStartWith('lost\t7999\t')
})

test('an import starts at the beginning when the file or the target is another, or with --restart', async () => {
  const file = join(folder, 'changed.ndjson')
  const lines = manyLines(3)
  const [first = ''] = lines
  const checkpoint = (change: object) => {
    writeFileSync(file, lines.join(''))
    utimesSync(file, 1e9, 1e9)
    const { size, mtimeMs } = statSync(file)
    const here = { url: server.url, collection: 'changed', sizeBytes: size, modifiedMs: mtimeMs }
    const done = { offsetBytes: first.length, lines: 1, stored: 1, failed: 0 }
    writeFileSync(`${file}.kvist-progress`, JSON.stringify({ ...here, ...done, ...change }))
  }
  const importIt = async (...more: string[]) =>
    (await kvist(['import', '-c', 'changed', file, ...more])).stderr
  const other = `kvist: ${file}.kvist-progress is of another import: starting at the beginning\n`
  const whole = 'kvist: stored 3, failed 0\n'

  checkpoint({})
  expect(await importIt()).toBe(`kvist: resuming after line 1 of ${file}\n${whole}`)
  checkpoint({})
  expect(await importIt('--restart')).toBe(whole)
  for (const change of [
    { sizeBytes: 1 },
    { modifiedMs: 1 },
    { url: 'http://other' },
    { collection: 'x' },
    { lines: null },
  ]) {
    checkpoint(change)
    expect(await importIt()).toBe(other + whole)
  }
  checkpoint({})
  writeFileSync(`${file}.kvist-progress`, '{"url":')
  expect(await importIt()).toBe(other + whole)
})

test('progress that cannot be written does not stop an import', async () => {
  const file = join(folder, 'unsaved.ndjson')
  const lines = manyLines(3)
  writeFileSync(file, lines.join(''))
  mkdirSync(`${file}.kvist-progress.new`)
  const importIt = () => kvist(['import', '-c', 'unsaved', file])
  const { exitCode, stderr } = await importIt()
  expect(exitCode).toBe(0)
  expect(stderr).toMatch(/: an interrupted import will start at the beginning\nkvist: stored 3, failed 0\n$/)

  // What an earlier run saved holds until the import is done.
  const { size, mtimeMs } = statSync(file)
  const of = { url: server.url, collection: 'unsaved', sizeBytes: size, modifiedMs: mtimeMs }
  const done = { offsetBytes: lines[0]!.length, lines: 1, stored: 1, failed: 0 }
  writeFileSync(`${file}.kvist-progress`, JSON.stringify({ ...of, ...done }))
  expect((await importIt()).stderr).toMatch(
    /: an interrupted import will start where it was saved last\nkvist: stored 3, failed 0\n$/,
  )
  expect(existsSync(`${file}.kvist-progress`)).toBe(false)
})

test('an export that fails leaves the file that was there, and no part of a new one', async () => {
  const file = join(folder, 'kept.ndjson')
  writeFileSync(file, 'kept')
  const cut = createServer((socket) => {
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n')
    const timer = setInterval(() => {
      socket.write(`{"key":"k","value":"${'x'.repeat(10_000)}"}\n`)
      if (existsSync(`${file}.part`)) socket.destroy()
    }, 10)
    socket.on('close', () => clearInterval(timer))
    socket.on('error', () => {})
  })
  const port = await new Promise((resolve) =>
    cut.listen(0, '127.0.0.1', () => resolve(Object(cut.address()).port)),
  )
  const url = `http://127.0.0.1:${port}`
  const { exitCode, stderr } = await run(['export', file, '--url', url])
  cut.close()
  expect({ exitCode, stderr }).toEqual({
    exitCode: 1,
    stderr: `kvist: cannot reach ${url}: the connection broke off\n`,
  })
  expect(readFileSync(file, 'utf8')).toBe('kept')
  expect(existsSync(`${file}.part`)).toBe(false)
})

test('files that cannot be read or written are reported', async () => {
  const missing = join(folder, 'missing.ndjson')
  const noFile = `kvist: ${missing}: there is no such file or folder\n`
  expect(await kvist(['import', missing])).toMatchObject({ exitCode: 1, stderr: noFile })
  expect(await kvist(['batch', missing])).toMatchObject({ exitCode: 1, stderr: noFile })
  for (const command of ['import', 'batch'])
    expect(await kvist([command, folder])).toMatchObject({
      exitCode: 1,
      stderr: expect.stringMatching(/^kvist: .*: it is a folder, not a file\n$/),
    })
  const part = join(missing, 'x.part')
  expect(await kvist(['export', join(missing, 'x')])).toMatchObject({
    exitCode: 1,
    stderr: `kvist: ${part}: there is no such file or folder\n`,
  })
})
