import { afterAll, afterEach, beforeAll, expect, test } from 'bun:test'
import { rmSync } from 'node:fs'
import { run, runOnTerminal, start } from '../../test/support/program.ts'
import { kvistProgram, newFolder, startServer, type TestServer } from '../../test/support/server.ts'

/** `kvist watch` against a real server. */

let server: TestServer
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.remove())

const running: Watching[] = []
afterEach(async () => {
  for (const { child } of running.splice(0)) {
    child.kill('SIGKILL')
    await child.exited
  }
})

interface Watching {
  readonly child: ReturnType<typeof start>
  /** What it has printed, when that is so many lines; without their ends. */
  lines(count: number): Promise<string[]>
  /** What it has complained of, when that is so many lines. */
  complaints(count: number): Promise<string[]>
}

function watch(args: readonly string[], url = server.url, env = {}): Watching {
  const child = start(['watch', ...args], { KVIST_URL: url, ...env })
  const watching = { child, lines: linesOf(child.stdout), complaints: linesOf(child.stderr) }
  running.push(watching)
  return watching
}

function linesOf(stream: ReadableStream<Uint8Array>): (count: number) => Promise<string[]> {
  let text = ''
  let onData = () => {}
  ;(async () => {
    const decoder = new TextDecoder()
    for await (const part of stream) {
      text += decoder.decode(part, { stream: true })
      onData()
    }
  })()
  return (count) =>
    new Promise((resolve) => {
      onData = () => {
        const lines = text.split('\n').slice(0, -1)
        if (lines.length >= count) resolve(lines)
      }
      onData()
    })
}

let collections = 0
function newCollection(): string {
  return `c${++collections}`
}

/** Stores a value, JSON text or bytes; gives the revision. */
async function put(path: string, value: string | Uint8Array<ArrayBuffer>, url = server.url): Promise<number> {
  const type = typeof value === 'string' ? 'application/json' : 'application/octet-stream'
  const headers = { 'content-type': type }
  const response = await fetch(`${url}/v1/${path}`, { method: 'PUT', headers, body: value })
  expect(response.ok).toBe(true)
  return Number(/\d+/.exec(response.headers.get('etag') ?? ''))
}

async function remove(path: string): Promise<void> {
  expect((await fetch(`${server.url}/v1/${path}`, { method: 'DELETE' })).status).toBe(204)
}

/** Lines without their first column. */
function withoutRevisions(lines: readonly string[]): string[] {
  return lines.map((line) => line.replace(/^\d+\t/, ''))
}

/** A collection with all kinds of changes, and how they are printed. */
async function fill(collection: string): Promise<{ revisions: number[]; lines: string[] }> {
  const revisions = [
    await put(`${collection}/gone`, '1'),
    await put(`${collection}/number`, '[12345678901234567890,\n1.0]'),
    await put(`${collection}/${encodeURIComponent('a\tb\nc\u001b[2J\u009b')}`, '"\\u001b[2J\u009b\\n"'),
  ]
  await put(`${collection}/bytes`, Uint8Array.of(255, 0))
  await remove(`${collection}/gone`)
  return {
    revisions,
    lines: [
      'put\tnumber\t[12345678901234567890,1.0]',
      'put\ta\\u0009b\\u000ac\\u001b[2J\\u009b\t"\\u001b[2J\\u009b\\n"',
      'put\tbytes\t/wA=',
      'delete\tgone',
    ],
  }
}

test.each([[[]], [['--interval', '100ms']]])(
  'changes are printed in order, each in one line %j',
  async (how) => {
    const collection = newCollection()
    const { lines, revisions } = await fill(collection)
    const watching = watch(['-c', collection, '--since', '0', ...how])
    const found = await watching.lines(4)
    expect(withoutRevisions(found)).toEqual(lines)
    expect(found[0]).toStartWith(`${revisions[1]}\t`)
    const next = await put(`${collection}/next`, 'true')
    expect((await watching.lines(5))[4]).toBe(`${next}\tput\tnext\ttrue`)
    expect(await watching.complaints(0)).toEqual([])
  },
)

test('--json gives what the server wrote, and the same when it asks again and again', async () => {
  const collection = newCollection()
  await fill(collection)
  const args = ['-c', collection, '--since', '0', '--json']
  const streamed = await watch(args).lines(4)
  const polled = await watch([...args, '--interval', '100ms']).lines(4)
  expect(streamed[0]).toContain('"value":[12345678901234567890, 1.0]')
  expect(polled[0]).toContain('"value":[12345678901234567890,1.0]')
  const parsed = streamed.map((line) => JSON.parse(line))
  expect(polled.map((line) => JSON.parse(line))).toEqual(parsed)
  expect(parsed[2]).toMatchObject({ type: 'put', collection, key: 'bytes', value_base64: '/wA=' })
  expect(parsed[3]).toEqual({ type: 'delete', revision: expect.any(Number), collection, key: 'gone' })
})

test.each([[[]], [['--interval', '100ms']]])('what is watched is what was asked for %j', async (how) => {
  const collection = newCollection()
  const first = await put(`${collection}/user:1`, '1')
  await put(`${collection}/user:2`, '2')
  await put(`${collection}/other:22`, '3')
  await put(`${collection}/user:22`, '4')
  const printed = async (count: number, ...args: string[]) =>
    withoutRevisions(await watch([...args, ...how]).lines(count))
  const members = ['-c', collection, '--since', `${first - 1}`]
  expect(await printed(3, ...members, '--prefix', 'user:')).toEqual([
    'put\tuser:1\t1',
    'put\tuser:2\t2',
    'put\tuser:22\t4',
  ])
  expect(await printed(2, ...members, '--filter', '*:22')).toEqual(['put\tother:22\t3', 'put\tuser:22\t4'])
  expect((await printed(3, '-c', collection, '--since', `${first}`))[0]).toBe('put\tuser:2\t2')

  const member = watch(['user:2', ...members, ...how])
  expect(withoutRevisions(await member.lines(1))).toEqual(['put\tuser:2\t2'])
  await put(`${collection}/user:22`, '5')
  await remove(`${collection}/user:2`)
  await member.lines(2)
  await put(`${collection}/user:2?expire_in=1s`, '6')
  expect(withoutRevisions(await member.lines(4))).toEqual([
    'put\tuser:2\t2',
    'delete\tuser:2',
    'put\tuser:2\t6',
    'expire\tuser:2',
  ])

  const elsewhere = await put('elsewhere/k', '7')
  const all = await watch(['--all', '--since', `${elsewhere - 1}`, ...how]).lines(1)
  expect(all[0]).toBe(`${elsewhere}\tput\telsewhere\tk\t7`)
})

test('without a collection it is the one that the other commands have', async () => {
  const revision = await put('keys/usual', '1')
  expect(await watch(['--since', `${revision - 1}`]).lines(1)).toEqual([`${revision}\tput\tusual\t1`])
})

test.each([
  [[], 'members'],
  [['--interval', '100ms'], 'members'],
  [['k0', '--interval', '100ms'], 'one member'],
])('a server that is killed and comes back: nothing is missed %j', async (how, what) => {
  const dataFolder = newFolder()
  let mortal = await startServer({ dataFolder })
  const { url, port } = mortal
  const keyOf = (i: number) => (what === 'members' ? `k${i}` : 'k0')
  try {
    const watching = watch(['--since', '0', ...how], url)
    for (let i = 0; i < 50; i++) await put(`keys/${keyOf(i)}`, `${i}`, url)
    const before = await watching.lines(what === 'members' ? 50 : 1)
    await put('keys/k0', '50', url)
    await mortal.crash()
    const [lost] = await watching.complaints(1)
    expect(lost).toStartWith(`kvist: lost the connection, trying again: cannot reach ${url}: `)
    await Bun.sleep(500) // it tries several times, and does not complain again

    mortal = await startServer({ dataFolder, flags: ['--port', `${port}`] })
    expect(mortal.port).toBe(port)
    for (let i = 51; i < 100; i++) await put(`keys/${keyOf(i)}`, `${i}`, url)
    expect(await watching.complaints(2)).toEqual([lost ?? '', 'kvist: connected again'])
    if (what === 'members') {
      const lines = withoutRevisions(await watching.lines(100))
      expect(lines).toEqual(Array.from({ length: 100 }, (_, i) => `put\tk${i === 50 ? 0 : i}\t${i}`))
    } else {
      await untilLast(watching, before.length, 'put\tk0\t99')
    }
    expect(watching.child.exitCode).toBeNull()
  } finally {
    await mortal.remove()
    rmSync(dataFolder, { recursive: true, force: true })
  }
})

/** Of one member not every change is seen by polling, but its last state is. */
async function untilLast(watching: Watching, from: number, expected: string): Promise<void> {
  for (let count = from; ; count++) {
    const lines = withoutRevisions(await watching.lines(count))
    if (lines.at(-1) === expected) return
  }
}

test.each([[[]], [['--interval', '100ms']]])(
  'a resume point that is gone gives a reset, and then everything %j',
  async (how) => {
    const collection = newCollection()
    await put(`${collection}/k`, '1')
    const args = ['-c', collection, '--since', '4000000000', ...how]
    const [reset, ...after] = await watch(args).lines(2)
    expect(reset).toBe('-\treset')
    expect(withoutRevisions(after)).toEqual(['put\tk\t1'])
    const [line] = await watch([...args, '--json']).lines(2)
    expect(JSON.parse(line ?? '')).toEqual({ type: 'reset', oldest: expect.any(Number) })
  },
)

const notUnderstood: [args: string[], message: string][] = [
  [['--all', 'k'], '--all watches all collections, and goes with no KEY'],
  [['--all', '-c', 'users'], '--all and --collection do not go together'],
  [['k', '--prefix', 'a'], '--prefix chooses among members, and goes with no KEY'],
  [['k', '--filter', 'a*'], '--filter chooses among members, and goes with no KEY'],
  [
    ['--interval', 'soon'],
    '--interval must be a time from 100ms to 1d, in seconds or like 500ms, not "soon"',
  ],
  [['--since', ''], '--since is empty: it must be a revision'],
  [[''], 'the key must be a text that is not empty, not ""'],
  [['a', 'b'], 'watch does not know what to do with "b"'],
]

test.each(notUnderstood)('%j is not understood', async (args, message) => {
  expect(await run(['watch', ...args, '--url', server.url])).toEqual({
    exitCode: 2,
    stdout: Buffer.from(''),
    stderr: `kvist: ${message}\n`,
  })
})

test('what cannot begin ends with 1 and a line', async () => {
  const other = Bun.serve({ port: 0, fetch: () => Response.json({ changes: [] }, { status: 404 }) })
  const locked = await startServer({ env: { KVIST_TOKEN: 'secret' } })
  const failures: [url: string, message: RegExp, args?: string[]][] = [
    ['http://127.0.0.1:1', /^kvist: cannot reach http:\/\/127\.0\.0\.1:1: is kvist serve running\?\n$/],
    [other.url.origin, /^kvist: what responds at .* is not kvist.*\n$/],
    [locked.url, /^kvist: .*(token|401 Unauthorized).*\n$/],
    [server.url, /^kvist: .*point.*\n$/, ['--since', 'yesterday']],
  ]
  try {
    for (const how of [
      [],
      ['--interval', '1'],
      ['k', '--interval', '1'],
      ['--since', '0', '--interval', '1'],
    ])
      for (const [url, message, args = []] of failures) {
        const { exitCode, stdout, stderr } = await run(['watch', '--url', url, ...how, ...args])
        expect({ exitCode, stdout: stdout.toString() }).toEqual({ exitCode: 1, stdout: '' })
        expect(stderr).toMatch(message)
      }
  } finally {
    await other.stop(true)
    await locked.remove()
  }
})

test.each([[[]], [['--interval', '1']]])('the token is the one of the other commands %j', async (how) => {
  const locked = await startServer({ env: { KVIST_TOKEN: 'secret' } })
  const env = { KVIST_TOKEN: 'secret' }
  try {
    await run(['put', 'k', '1', '--url', locked.url], { env })
    expect(await watch(['--since', '0', ...how], locked.url, env).lines(1)).toEqual(['1\tput\tk\t1'])
  } finally {
    await locked.remove()
  }
})

test.each([[], ['k']])('what was asked for and did not come is asked for again %j', async (...key) => {
  const collection = newCollection()
  const begun = Promise.withResolvers<void>()
  let isArmed = false
  let isBroken = false
  const proxy = Bun.serve({
    port: 0,
    async fetch({ url, method, headers }) {
      const { pathname, search } = new URL(url)
      const isOfFeed = pathname === '/v1/_changes'
      if (isOfFeed) begun.resolve()
      if (isArmed && method === (key.length === 0 ? 'GET' : 'HEAD')) {
        isArmed = false
        isBroken = true
        await put(`${collection}/k`, '2')
      }
      if (!isOfFeed || !isBroken) return fetch(server.url + pathname + search, { method, headers })
      isBroken = false
      return new Response('', { status: 502 })
    },
  })
  try {
    const watching = watch([...key, '-c', collection, '--interval', '100ms'], proxy.url.origin)
    await begun.promise
    isArmed = true
    expect(withoutRevisions(await watching.lines(1))).toEqual(['put\tk\t2'])
    expect(await watching.complaints(2)).toEqual([
      'kvist: lost the connection, trying again: the server responded with 502 Bad Gateway',
      'kvist: connected again',
    ])
  } finally {
    await proxy.stop(true)
  }
})

test.each(['', '--json', '--interval 100ms'])(
  'a reader that has enough ends it without a complaint %j',
  async (how) => {
    const collection = newCollection()
    await put(`${collection}/first`, '1')
    const script = `"$0" watch -c ${collection} --since 0 ${how} | head -n 1 >&2; echo "\${PIPESTATUS[0]}"`
    const child = Bun.spawn(['bash', '-c', script, kvistProgram], {
      env: { PATH: process.env.PATH, KVIST_URL: server.url },
      stdout: 'pipe',
      stderr: 'pipe',
    })
    for (let i = 0; child.exitCode === null; i++) {
      await put(`${collection}/more`, `${i}`)
      await Bun.sleep(50)
    }
    const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()])
    expect({ stdout, lines: stderr.trim().split('\n').length }).toEqual({ stdout: '0\n', lines: 1 })
  },
)

test('a reader that is slow gets everything', async () => {
  const collection = newCollection()
  const value = 'x'.repeat(1000)
  const lines = Array.from({ length: 5000 }, (_, i) => JSON.stringify({ key: `k${i}`, value }))
  const headers = { 'content-type': 'application/x-ndjson' }
  await fetch(`${server.url}/v1/${collection}`, { method: 'POST', headers, body: lines.join('\n') })
  const script = `"$0" watch -c ${collection} --since 0 | (sleep 1; head -n 5000) | cut -f 3 | md5sum`
  const child = Bun.spawn(['bash', '-c', script, kvistProgram], {
    env: { PATH: process.env.PATH, KVIST_URL: server.url },
    stdout: 'pipe',
  })
  while (child.exitCode === null) {
    await Bun.sleep(50)
    await put(`${collection}/end`, '1')
  }
  const keys = lines.map((_, i) => `k${i}\n`).join('')
  expect(await child.stdout.text()).toStartWith(new Bun.CryptoHasher('md5').update(keys).digest('hex'))
})

test.each([[[]], [['--interval', '100ms']]])(
  'on a terminal it begins with headings, what happens then comes in columns, and Ctrl-C ends it with 130 %j',
  async (how) => {
    const collection = newCollection()
    await put(`${collection}/before`, '1')
    const env = { KVIST_URL: server.url }
    const terminal = runOnTerminal(['watch', '-c', collection, ...how], { env })
    await terminal.shows('REVISION  TYPE  KEY  VALUE\r\n')
    const revision = await put(`${collection}/a%1B%5B2J`, `"${'x'.repeat(200)}"`)
    await terminal.shows(`${revision}`.padEnd(8))
    await terminal.shows('xx\r\n')
    await remove(`${collection}/before`)
    await terminal.shows('before\r\n')
    terminal.type('\u0003')
    expect(await terminal.exited).toBe(130)
    const [, stored, removed] = terminal.screen().split('\r\n')
    expect(stored).toBe(`${`${revision}`.padEnd(8)}  put   a\\u001b[2J  "${'x'.repeat(71)}`)
    expect(stored).toHaveLength(100)
    expect(removed).toBe(`${`${revision + 1}`.padEnd(8)}  delete  before`)
  },
)
