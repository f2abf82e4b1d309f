import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { startBrowser } from './support/browser.ts'
import { buildSdk } from './support/build.ts'
import { needing } from './support/needs.ts'
import { membersIn } from './support/responses.ts'
import { newFolder, startServer, type TestServer } from './support/server.ts'
import { runToEnd } from './support/spawn.ts'

/** The built client, in every runtime that it is for: the same scenario, the same findings. */

const root = join(import.meta.dir, '..')
const folder = newFolder()
const packageFolder = join(folder, 'node_modules/kvist-client')
const dataFolder = join(folder, 'data')
let server: TestServer
let hasty: { url: string; close(): void }
/** Kills kvist and starts it again; gives a browser its files. */
const control = Bun.serve({ port: 0, hostname: '127.0.0.1', idleTimeout: 0, fetch: respond })
/** The pages that the browser loads are of another origin than kvist. */
const corsFlags = ['--cors-origin', control.url.origin]
beforeAll(async () => {
  await buildSdk(packageFolder)
  copyFileSync(join(import.meta.dir, 'support/sdk-scenario.mjs'), join(folder, 'scenario.mjs'))
  mkdirSync(dataFolder)
  server = await startServer({ dataFolder, flags: corsFlags })
  hasty = await startHasty()
})
afterAll(async () => {
  await server.remove()
  hasty.close()
  await control.stop(true)
  rmSync(folder, { recursive: true, force: true })
})

const anyOrigin = { 'access-control-allow-origin': '*', 'access-control-allow-methods': '*' }

async function respond({ url }: Request): Promise<Response> {
  const { pathname } = new URL(url)
  if (pathname === '/restart') {
    await server.crash()
    server = await startServer({ dataFolder, flags: [...corsFlags, '--port', String(server.port)] })
    return new Response(null, { headers: anyOrigin })
  }
  const types: Record<string, string> = { js: 'text/javascript', mjs: 'text/javascript' }
  if (pathname === '/example')
    return new Response(exampleOfReadme(), { headers: { 'content-type': 'text/html' } })
  const type = types[/\.(\w+)$/.exec(pathname)?.[1] ?? '']
  if (type === undefined) return new Response('<!doctype html>', { headers: { 'content-type': 'text/html' } })
  return new Response(Bun.file(join(folder, pathname)), { headers: { 'content-type': type } })
}

/** The page of the client's README, of a server at the address of the one here. */
function exampleOfReadme(): string {
  const readme = readFileSync(join(root, 'sdk/README.md'), 'utf8')
  const [, page = ''] = /```html\n(.*?)```/s.exec(readme) ?? []
  return page
    .replace('./kvist-client/', '/node_modules/kvist-client/')
    .replace('http://127.0.0.1:7070', server.url)
}

/** Ends a connection when the second PATCH on it has arrived, as if it had been idle: runtimes may send that again. */
async function startHasty(): Promise<{ url: string; close(): void }> {
  let asked = 0
  const listening: Server = createServer((socket) => {
    let onThis = 0
    socket.on('error', () => {})
    socket.on('data', (part) => {
      const method = /^([A-Z]+) (\S+) HTTP/.exec(part.toString('latin1'))
      if (method === null) return // the rest of a body
      const isCount = method[2] === '/count'
      if (method[1] === 'PATCH') {
        asked++
        if (++onThis > 1) socket.destroy()
      }
      if (method[2]?.endsWith('silent') || onThis > 1) return
      const body = isCount ? String(asked) : '{"key":"n","revision":1}'
      const headers = Object.entries({ ...anyOrigin, 'access-control-allow-headers': 'content-type' })
      const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join('')
      socket.write(`HTTP/1.1 200 OK\r\n${lines}content-length: ${body.length}\r\n\r\n${body}`)
    })
  })
  await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve))
  const address = listening.address()
  const port = typeof address === 'object' ? address?.port : undefined
  return { url: `http://127.0.0.1:${port}`, close: () => void listening.close() }
}

const expected = {
  get: { name: 'Ada', visits: 1 },
  isSame: true,
  head: 'application/json',
  missing: [null, null, false],
  touched: [42, '2999-01-01T00:00:00.000Z', true],
  patched: { visits: 42, tags: ['a', 'b'] },
  added: '"x"',
  bytes: true,
  streamed: 100_000,
  imported: { stored: 1000, failed: [] },
  many: [{ i: 1 }, null],
  listed: [1000, 499_500],
  exported: [1000, 499_500],
  pages: ['k1999', 'k1699', 300],
  changes: [1000, 499_500],
  dots: ['dots', true, null],
  level: { members: [], prefixes: ['ada/'], next: null },
  mistake: 'KvistInputError invalid_input null',
  batch: [null, 3, null, 0, 3],
  access: ['some', { i: 1 }, 'KvistHttpError forbidden 403', 200, 401, true, true],
  errors: [
    'KvistPreconditionError precondition_failed 412',
    'KvistNotFoundError not_found 404',
    'KvistInputError invalid_input null',
    'KvistHttpError invalid_parameter 400',
    'RangeError: enough',
    'KvistTimeoutError timeout null',
    'RangeError: enough',
  ],
  polled: 1,
  watched: ['put a', 'put b', 'delete b', 'put c', { connected: 2, lost: 1 }],
  sentTwice: ['KvistUnreachableError unreachable null', 0],
}

/** A program that runs the scenario and prints what it finds. */
function programFor(positions: Record<string, string>): string {
  const text = `import * as sdk from './node_modules/kvist-client/client.js'
import { scenario } from './scenario.mjs'
console.log(JSON.stringify(await scenario(sdk, ${JSON.stringify(positions)})))
`
  const path = join(folder, 'main.mjs')
  writeFileSync(path, text)
  return path
}

describe.each([
  ['Node', ['node']],
  ['Deno', [join(root, 'node_modules/.bin/deno'), 'run', '--no-remote', '--no-prompt', '--allow-net']],
  ['Bun', [process.execPath, '--no-env-file', '--no-install']],
] as const)('%s', (name, command) => {
  test('does all of it, and ends by itself', async () => {
    const positions = { url: server.url, run: name, control: control.url.origin, hasty: hasty.url }
    const { exitCode, stdout, stderr } = await runToEnd([...command, programFor(positions)], {
      cwd: folder,
      env: {
        PATH: process.env.PATH,
        HOME: folder,
        DENO_DIR: join(folder, 'deno'),
        DENO_NO_UPDATE_CHECK: '1',
      },
    })
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' })
    expect(JSON.parse(stdout)).toEqual(expected)
  })
})

needing('chromium').test('Chromium does all of it', async () => {
  const browser = await startBrowser()
  try {
    const page = await browser.newPage()
    await page.goto(control.url.href)
    const positions = { url: server.url, run: 'page', control: control.url.origin, hasty: hasty.url }
    const program = `(async () => {
      const sdk = await import('/node_modules/kvist-client/client.js')
      const { scenario } = await import('/scenario.mjs')
      return scenario(sdk, ${JSON.stringify(positions)})
    })()`
    const { sentTwice, ...found } = await page.evaluate<typeof expected>(program)
    // Chromium sends anything again when a connection it has used before ends without a response, and cannot be told
    // not to. Should this go red, it has learned better, and the client's README should say so.
    expect(sentTwice[1]).not.toBe(0)
    expect({ ...found, sentTwice: expected.sentTwice }).toEqual(expected)
  } finally {
    await browser.close()
  }
})

needing('chromium').test(
  "the page of the client's README uses a server of another origin, without anything in between",
  async () => {
    const browser = await startBrowser()
    try {
      const page = await browser.newPage()
      const errors: string[] = []
      page.on('console', (message) => errors.push(message.text()))
      page.on('pageerror', (error) => errors.push(error.message))
      await page.goto(`${control.url.origin}/example`)
      await page.waitForSelector('#visitors li')
      const [visitor] = await membersIn(`${server.url}/v1/visitors`)
      expect(await page.locator('#visitors li').allTextContents()).toEqual([Object(visitor?.value).at])
      expect(errors).toEqual([])
    } finally {
      await browser.close()
    }
  },
)
