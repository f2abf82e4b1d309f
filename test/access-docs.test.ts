import { expect } from 'bun:test'
import { readFileSync, rmSync, statSync } from 'node:fs'
import { connect } from 'node:net'
import { dirname, join } from 'node:path'
import { Kvist } from '../sdk/client.ts'
import { startBrowser } from './support/browser.ts'
import { writeJq } from './support/jq.ts'
import { needing } from './support/needs.ts'
import { kvistProgram, newFolder, startServer, type TestServer } from './support/server.ts'
import { runToEnd } from './support/spawn.ts'

const { afterAll, beforeAll, test } = needing('curl', 'openssl', 'process')

/** docs/access.md does what it says: its commands run one after the other, and its page in a browser. */

const page = readFileSync(join(import.meta.dir, '../docs/access.md'), 'utf8')
const folder = newFolder()
const dataFolder = join(folder, 'data')
const rootFile = join(folder, 'root-token')
const origin = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: () => html(pageForBrowsers()) })
const flags = ['--token-file', rootFile, '--memcached-port', '0', '--cors-origin', origin.url.origin]
let server: TestServer
/** The only one that the page in the browser has. */
let pageToken = ''

beforeAll(async () => {
  writeJq(folder)
  const [makeToken = '', serve] = blocks('sh')[0]?.trim().split('\n') ?? []
  expect(serve).toBe('kvist serve --token-file root-token')
  expect((await shell(makeToken)).exitCode).toBe(0)
  server = await startServer({ dataFolder, flags })
})
afterAll(async () => {
  await server?.remove()
  await origin.stop(true)
  rmSync(folder, { recursive: true, force: true })
})

function blocks(language: string): readonly string[] {
  return [...page.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms'))].map(
    ([, block = '']) => block,
  )
}

function shell(script: string) {
  return runToEnd(['bash', '-e', '-o', 'pipefail', '-c', script], {
    cwd: folder,
    env: {
      PATH: `${folder}:${dirname(kvistProgram)}:${process.env.PATH}`,
      HOME: folder,
      ...(server === undefined ? {} : { KVIST_PORT: `${server.port}` }),
    },
  })
}

test('every command works, and says what the page says', async () => {
  const script = blocks('sh').slice(1).join('\n')
  const { exitCode, stdout, stderr } = await shell(
    script.replaceAll('http://127.0.0.1:7070', server.url).replaceAll('curl ', 'curl -sS '),
  )
  expect(exitCode).toBe(0)
  const said = stderr
    .split('\n')
    .filter((line) => !/^kvist: token \w{12} may .* it is shown only now$/.test(line))
  const promised = [...page.matchAll(/^# (kvist: .*)$/gm)].map(([, line = '']) => line)
  expect(said).toEqual([
    ...promised,
    'kvist: the token is not valid: it is wrong, has expired or was revoked: see KVIST_TOKEN and --token-file',
    '',
  ])
  for (const text of [
    'app\tread,write:users\t-\t', // of whoami
    '{"name": "Ada"}exit code 1\n', // get, and a list that is refused
    '{"name": "Ada"}{"name":"app"', // the same by curl
    '"name":"reader"',
    '\nt1/ada\n', // what the tenant sees of the collection
    'exit code 1\n',
    '{"members":[{"key":"t1/ada"}],"next":null}', // by ticket
  ])
    expect(stdout).toContain(text)
  expect(statSync(join(folder, 'app-token')).mode & 0o777).toBe(0o600)
  expect(JSON.parse(blocks('json')[0] ?? '')).toEqual(await refusal())
  expect(await logIn(readFileSync(join(folder, 'login')))).toBe('STORED\r\n')
})

/** The problem of a request that the page shows. */
async function refusal(): Promise<unknown> {
  const root = new Kvist(server.url, { token: readFileSync(rootFile, 'utf8').trim() })
  const { token } = await root.tokens.create({
    name: 'app',
    grants: [{ collections: 'users', can: ['read'] }],
  })
  const response = await fetch(`${server.url}/v1/logs`, { headers: { authorization: `Bearer ${token}` } })
  return response.json()
}

/** Sends a login to the memcached port, and returns the response. */
function logIn(bytes: Uint8Array): Promise<string> {
  const port = Number(/"memcached":"127\.0\.0\.1:(\d+)"/.exec(server.output())?.[1])
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => void socket.write(bytes))
    socket.on('error', reject)
    socket.on('data', (part) => {
      resolve(part.toString())
      socket.destroy()
    })
  })
}

function pageForBrowsers(): string {
  return blocks('html')[0]?.replace('http://127.0.0.1:7070', server.url).replace('kvist_…', pageToken) ?? ''
}

function html(text: string): Response {
  return new Response(text, { headers: { 'content-type': 'text/html' } })
}

needing('chromium', 'openssl', 'process').test(
  'the page watches with tickets, also after a restart of the server, and downloads',
  async () => {
    const root = new Kvist(server.url, { token: readFileSync(rootFile, 'utf8').trim() })
    await root.collection('users').drop()
    await root.collection('users').put('t1/ada', 1)
    const grants = [{ collections: 'users', key_prefix: 't1/', can: ['read'] }] as const
    pageToken = (await root.tokens.create({ name: 'page', grants })).token
    const browser = await startBrowser()
    try {
      const tab = await browser.newPage()
      await tab.goto(origin.url.href)
      const shows = (...keys: readonly string[]) =>
        tab.waitForFunction(
          `[...document.querySelectorAll('li')].map((li) => li.textContent).join() === '${keys}'`,
        )
      await shows('t1/ada')
      await root.collection('users').put('t2/hidden', 1)
      await root.collection('users').put('t1/bob', 1)
      await shows('t1/ada', 't1/bob')
      await server.crash()
      server = await startServer({ dataFolder, flags: [...flags, '--port', `${server.port}`] })
      await root.collection('users').put('t1/carl', 1)
      await shows('t1/ada', 't1/bob', 't1/carl')
      await tab.click('#download')
      await tab.waitForURL(/\/v1\/users\/t1%2Fada\?ticket=/)
      expect(await tab.textContent('body')).toBe('1')
    } finally {
      await browser.close()
    }
  },
)
