import { afterAll, beforeAll, expect } from 'bun:test'
import { rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { membersOf, runImport } from './support/imports.ts'
import { type ServerInProcess, serveInProcess } from './support/in-process-server.ts'
import { needing } from './support/needs.ts'
import { freePorts } from './support/ports.ts'
import { newFolder } from './support/server.ts'
import { until } from './support/until.ts'

/** `kvist import --from memcached` and `--from etcd`, with real servers. */

let kvist: ServerInProcess
const folder = newFolder()
const children: Bun.Subprocess[] = []
beforeAll(async () => {
  kvist = await serveInProcess()
})
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL')
  await kvist.stop()
  rmSync(folder, { recursive: true, force: true })
})

function spawn(...command: string[]): void {
  // The kernel ends it with its parent, however that ends.
  children.push(
    Bun.spawn(['setpriv', '--pdeathsig', 'KILL', ...command], {
      stdin: 'ignore',
      stdout: 'ignore',
      stderr: 'ignore',
    }),
  )
}

/** Sends text to a server of lines, and resolves with what it has sent once that ends as expected. */
function converse(port: number, text: Buffer | string, end: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let received = ''
    const socket = connect(port, '127.0.0.1', () => socket.write(text))
    socket.on('error', reject)
    socket.on('data', (bytes) => {
      received += bytes.toString('latin1')
      if (!received.endsWith(end)) return
      socket.destroy()
      resolve(received)
    })
  })
}

const { test: testMemcached } = needing('memcached')

testMemcached('memcached: flags and expiry, and values as the memcached port stores them', async () => {
  const [port] = freePorts(1)
  spawn('memcached', '-u', 'root', '-l', '127.0.0.1', '-p', `${port}`, '-I', '2m')
  await until(() => converse(port!, 'version\r\n', '\r\n').then(Boolean, () => false), 'memcached serves')
  const set = (key: string, flags: number, seconds: number, value: string) =>
    Buffer.from(`set ${key} ${flags} ${seconds} ${value.length}\r\n${value}\r\n`, 'latin1')
  const items = [
    set('text', 5, 0, 'hello'),
    set('number', 0, 3600, '12'),
    set('gr\u00c3\u00bcn', 0, 0, '{"a": 1}'),
    set('quoted', 0, 0, '"q"'),
    set('bytes', 2 ** 32 - 1, 0, '\xff\r\n'),
    set('empty', 0, 0, ''),
    set('\xff', 0, 0, 'x'),
    ...Array.from({ length: 1500 }, (_, i) => set(`many ${i}`.replace(' ', '-'), 0, 0, 'x'.repeat(1000))),
    set('last', 0, 0, 'x'.repeat(1_500_000)),
  ]
  await converse(
    port!,
    Buffer.concat([...items, Buffer.from('version\r\n')]),
    `VERSION ${await version(port!)}\r\n`,
  )
  const { exitCode, lines } = await runImport(kvist.url, ['--from', 'memcached', `127.0.0.1:${port}`])
  expect({ exitCode, lines }).toEqual({
    exitCode: 1,
    lines: [
      `127.0.0.1:${port}: "ÿ": invalid_key: the key is not UTF-8: --encode-keys stores it in base64`,
      'stored 1507, not taken 1 (1 invalid_key)',
    ],
  })
  const members = await membersOf(kvist.url, 'cache')
  const text = { content_type: 'text/plain; charset=utf-8' }
  const { expires_at } = members.number as { expires_at: string }
  expect(members).toMatchObject({
    text: { ...text, value_text: 'hello', flags: 5 },
    number: { value: 12 },
    grün: { value: { a: 1 } },
    quoted: { ...text, value_text: '"q"' },
    bytes: { value_base64: '/w0K', content_type: 'application/octet-stream', flags: 2 ** 32 - 1 },
    empty: { ...text, value_text: '' },
    'many-1499': { value_text: 'x'.repeat(1000) },
  })
  const leftMs = Date.parse(expires_at) - Date.now()
  expect(leftMs).toBeGreaterThan(3000_000)
  expect(leftMs).toBeLessThanOrEqual(3602_000)
})

async function version(port: number): Promise<string> {
  return (await converse(port, 'version\r\n', '\r\n')).slice('VERSION '.length, -2)
}

testMemcached('what is no memcached server, or goes away, is one line', async () => {
  const scripts: Record<string, string[]> = {
    'it is no memcached server: "HTTP/1.1 400"': ['HTTP/1.1 400\r\n'],
    'it does not list its keys (lru_crawler metadump): "ERROR"': ['END\r\n', 'ERROR\r\n'],
    'it lists its keys in an unknown form: "key=a=b"': ['END\r\n', 'key=a=b\r\n'],
    'the server closed the connection': ['END\r\n', 'key=a exp=-1 size=1\r\n', ''],
  }
  for (const [message, script] of Object.entries(scripts)) {
    const left = [...script]
    const server = createServer((socket) => {
      socket.on('error', () => {})
      socket.on('data', () => {
        const next = left.shift()
        if (next) socket.write(next)
        if (left[0] === '') socket.end()
      })
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as { port: number }
    const location = `127.0.0.1:${port}`
    expect(await runImport(kvist.url, ['--from', 'memcached', location])).toEqual({
      exitCode: 1,
      lines: [`${location}: ${message}`],
    })
    server.close()
  }
  const [closed] = freePorts(1)
  const refused = await runImport(kvist.url, ['--from', 'memcached', `127.0.0.1:${closed}`])
  expect(refused).toEqual({ exitCode: 1, lines: [`127.0.0.1:${closed}: no server listens there`] })
  expect((await runImport(kvist.url, ['--from', 'memcached', 'a b'])).lines).toEqual([
    '"a b" is not host:port',
  ])
})

const { test: testEtcd } = needing('etcd')

testEtcd('etcd: pages of one revision, leases, a login, and a run that resumes', async () => {
  const [port, peerPort] = freePorts(2)
  const url = `http://127.0.0.1:${port}`
  spawn(
    ...['etcd', '--data-dir', join(folder, 'etcd'), '--log-level', 'error'],
    ...['--listen-client-urls', url, '--advertise-client-urls', url],
    ...['--listen-peer-urls', `http://127.0.0.1:${peerPort}`],
  )
  const post = async (path: string, body: object) => {
    const response = await fetch(`${url}/v3${path}`, { method: 'POST', body: JSON.stringify(body) })
    return (await response.json()) as Record<string, string>
  }
  await until(
    () =>
      post('/maintenance/status', {}).then(
        (status) => status.leader !== undefined,
        () => false,
      ),
    'etcd serves',
  )
  const base64 = (text: string) => Buffer.from(text).toString('base64')
  const put = (key: string, value: string, lease?: string) =>
    post('/kv/put', { key: base64(key), value: base64(value), ...(lease === undefined ? {} : { lease }) })
  const { ID: lease } = await post('/lease/grant', { TTL: 3600 })
  await put('app/grün', 'schön')
  await put('empty', '')
  await put('leased', '{"a": 1}', lease)
  await post('/kv/put', { key: '/wE=', value: '/g==' })
  const success = Array.from({ length: 120 }, (_, i) => ({
    requestPut: { key: base64(`key ${String(i).padStart(4, '0')}`), value: base64(`${i}`) },
  }))
  for (const prefix of ['a', 'b', 'c']) {
    const puts = success.map(({ requestPut: { key, value } }) => ({
      requestPut: { key: base64(prefix + Buffer.from(key, 'base64').toString()), value },
    }))
    await post('/kv/txn', { success: puts })
  }

  const args = ['--from', 'etcd', url]
  expect(await runImport(kvist.url, [...args, '-c', 'etcd', '--json'])).toEqual({
    exitCode: 1,
    lines: [
      `${url}: "ÿ\\u0001": invalid_key: the key is not UTF-8: --encode-keys stores it in base64`,
      'stored 363, not taken 1 (1 invalid_key)',
    ],
  })
  const members = await membersOf(kvist.url, 'etcd')
  expect(members).toMatchObject({
    'app/grün': { value_text: 'schön' },
    empty: { value_text: '' },
    leased: { value: { a: 1 }, expires_at: expect.any(String) },
    'ckey 0119': { value: 119 },
  })

  // Large values make several requests to kvist, so that there is something to resume after.
  for (let i = 0; i < 12; i++) await put(`!large ${i}`, 'x'.repeat(1_000_000))
  let pages = 0
  let isFailing = true
  const proxy = Bun.serve({
    port: 0,
    async fetch(request) {
      const body = await request.text()
      if (body.includes('"revision"') && ++pages === 3 && isFailing)
        return new Response('oops', { status: 500 })
      return fetch(url + new URL(request.url).pathname, { method: 'POST', body })
    },
  })
  const resumedArgs = ['--from', 'etcd', proxy.url.origin, '-c', 'resumed', '--encode-keys']
  const cwd = process.cwd()
  process.chdir(folder)
  try {
    const first = await runImport(kvist.url, resumedArgs)
    expect(first.lines).toEqual([
      expect.stringMatching(
        / did not respond as expected; the same command resumes after \d+ that were stored$/,
      ),
    ])
    isFailing = false
    const second = await runImport(kvist.url, resumedArgs)
    expect([second.exitCode, second.lines[0]]).toEqual([0, expect.stringMatching(/^resuming after \d+ of /)])
    expect(second.lines[1]).toBe('stored 376, not taken 0')
  } finally {
    process.chdir(cwd)
    await proxy.stop(true)
  }
  expect(Object.keys(await membersOf(kvist.url, 'resumed')).length).toBe(376)

  await post('/auth/user/add', { name: 'root', password: 'secret' })
  await post('/auth/user/grant', { user: 'root', role: 'root' })
  await post('/auth/enable', {})
  const refused = await runImport(kvist.url, args)
  expect(refused.lines).toEqual([
    expect.stringMatching(/refused: .*: the user is in the URL; see --source-password-file/),
  ])
  const withUser = ['--from', 'etcd', url.replace('//', '//root@'), '-c', 'login', '-q', '--encode-keys']
  expect(await runImport(kvist.url, withUser, { KVIST_SOURCE_PASSWORD: 'secret' })).toEqual({
    exitCode: 0,
    lines: [''],
  })
  expect((await runImport(kvist.url, withUser, { KVIST_SOURCE_PASSWORD: 'wrong' })).exitCode).toBe(1)
})

testEtcd.each([
  ['nothing', '"nothing" is not http://host:port'],
  ['http://a:b@host', 'a password in the URL can be seen by everybody: see --source-password-file'],
])('what is no etcd is one line: %s', async (location, message) => {
  expect((await runImport(kvist.url, ['--from', 'etcd', location])).lines).toEqual([message])
})

testEtcd('another server, or none, is no etcd', async () => {
  const [closed] = freePorts(1)
  const url = `http://127.0.0.1:${closed}`
  expect((await runImport(kvist.url, ['--from', 'etcd', url])).lines).toEqual([
    `cannot reach ${url}: no server listens there`,
  ])
  const { lines } = await runImport(kvist.url, ['--from', 'etcd', kvist.url])
  expect(lines).toEqual([`${kvist.url} is no etcd with the JSON gateway of version 3`])
})
