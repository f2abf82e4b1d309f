import { Database } from 'bun:sqlite'
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Client } from '@modelcontextprotocol/client'
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio'
import manifest from '../package.json' with { type: 'json' }
import { buildExecutable } from './support/build.ts'
import { expectPages } from './support/served-pages.ts'
import { newFolder, startServer } from './support/server.ts'
import { runToEnd } from './support/spawn.ts'

/** The executable: what works in a checkout works in it, with nothing around it. */

const folder = newFolder()
const executable = join(folder, 'program/kvist')

beforeAll(() => buildExecutable(executable))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** The start of a command line that runs it in a new folder, which holds these files, and without any environment. */
function alone(files: Readonly<Record<string, string>> = {}, ...variables: readonly string[]): string[] {
  const position = join(folder, `place-${readdirSync(folder).length}`)
  mkdirSync(position)
  for (const [name, text] of Object.entries(files)) writeFileSync(join(position, name), text)
  return ['/usr/bin/env', '-i', `--chdir=${position}`, ...variables, executable]
}

/** What a command prints when it goes well. */
async function printed(url: string, args: readonly string[], stdin = ''): Promise<string> {
  const command = [...alone({}, `KVIST_URL=${url}`), ...args]
  const { exitCode, stdout, stderr } = await runToEnd(command, { stdin: new Blob([stdin]) })
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' })
  return stdout
}

/** The names of the tools that `kvist mcp` offers. */
async function toolsOfAgents(url: string): Promise<string[]> {
  const [command = '', ...args] = [...alone({}, `KVIST_URL=${url}`), 'mcp']
  const client = new Client({ name: 'test', version: '1' })
  await client.connect(new StdioClientTransport({ command, args }))
  const { tools } = await client.listTools()
  await client.close()
  return tools.map(({ name }) => name)
}

test('the program is one file', () => {
  expect(readdirSync(join(executable, '..'))).toEqual(['kvist'])
})

test('every command works, and the pages with all that they name', async () => {
  const server = await startServer({ command: [...alone(), 'serve'] })
  try {
    const kvist = (args: string[], stdin?: string) => printed(server.url, args, stdin)
    expect(await kvist(['--version'])).toBe(`kvist ${manifest.version}\n`)
    expect(await kvist(['--help'])).toContain('kvist serve')
    expect(await kvist(['serve', '--help'])).toContain('--durability')
    expect(await kvist(['completion'])).toContain('###-begin-kvist-completions-###')
    expect(await kvist(['health'])).toBe('')
    await kvist(['put', 'greeting', 'hello'])
    expect(await kvist(['get', 'greeting'])).toBe('"hello"')
    await kvist(['import', '--quiet', '-'], '{"key":"a","value":1}\n{"key":"b","value":2.0}\n')
    expect(await kvist(['list'])).toBe('a\nb\ngreeting\n')
    const lines = (await kvist(['export', '--quiet', '-'])).trimEnd().split('\n')
    expect(lines[1]).toContain('"value":2.0')
    await kvist(['delete', 'a'])
    expect(await toolsOfAgents(server.url)).toContain('find')
    expect(await kvist(['list'])).toBe('b\ngreeting\n')

    for (const path of ['/openapi.json', '/metrics']) {
      const response = await fetch(server.url + path)
      expect([path, response.status]).toEqual([path, 200])
      expect((await response.bytes()).length).toBeGreaterThan(100)
    }
    await expectPages(server.url)
  } finally {
    await server.remove()
  }
})

test('its thread brings the log to the tables, a signal ends it, and it reads what it has written', async () => {
  const serve = [...alone(), 'serve']
  const dataFolder = join(folder, 'data')
  // More than a job of segments of the log: the thread works while the server runs.
  const value = 'x'.repeat(256 * 1024)
  const members = Array.from({ length: 320 }, (_, i) => JSON.stringify({ key: `k${i}`, value }))
  let server = await startServer({ command: serve, dataFolder })
  try {
    const response = await fetch(`${server.url}/v1/large`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson' },
      body: members.join('\n'),
    })
    expect(await response.json()).toEqual({ stored: members.length, failed: [] })
    expect(await server.stop()).toBe(0)
    expect(server.output()).not.toContain('"level":"error"')
    expect(rowsOf(dataFolder)).toBe(members.length)
    expect(readdirSync(dataFolder).filter((name) => name.startsWith('log-'))).toEqual([])

    server = await startServer({ command: serve, dataFolder })
    expect(await (await fetch(`${server.url}/v1/large/k255`)).json()).toBe(value)
  } finally {
    await server.remove()
  }
})

test("processes run in it: its own, and those of the operator's files; their errors name lines of the sources", async () => {
  const files = {
    'kvist.config.ts': `export default { collections: {
      loud: { processes: ['./loud.ts'] }, texts: { processes: ['detect-language', 'mark'] } } }`,
    'loud.ts': `export default { name: 'loud', run(member: { value: string }) {
      if (member.value === '"quiet"') throw new Error('too quiet')
      return { ...member, value: member.value.toUpperCase() } } }`,
  }
  const server = await startServer({ command: [...alone(files), 'serve', '--config', 'kvist.config.ts'] })
  const put = (path: string, body: string) => fetch(`${server.url}/v1/${path}`, { method: 'PUT', body })
  try {
    expect((await put('loud/a', '"hello"')).status).toBe(201)
    expect(await (await fetch(`${server.url}/v1/loud/a`)).text()).toBe('"HELLO"')
    expect((await put('loud/b', '"quiet"')).status).toBe(422)
    while (!server.output().includes('too quiet')) await Bun.sleep(10)
    expect(server.output()).toContain('src/processes/process-worker.ts:')
    expect((await put('texts/a', '{"value": "Das ist ein Satz auf Deutsch."}')).status).toBe(201)
    expect(await (await fetch(`${server.url}/v1/texts/a`)).json()).toMatchObject({ lang: 'de' })
  } finally {
    await server.remove()
  }
})

test('it loads nothing of the folder it is started in', async () => {
  const files = { '.env': 'KVIST_HOST=256.0.0.1\n', 'bunfig.toml': 'preload = ["./missing.ts"]\n' }
  const server = await startServer({ command: [...alone(files), 'serve'] })
  expect(server.url).toStartWith('http://127.0.0.1:')
  await server.remove()
})

/** How many members the tables have, as any program sees them. */
function rowsOf(dataFolder: string): number {
  using db = new Database(join(dataFolder, 'kvist.db'), { readonly: true })
  return db.query<{ count: number }, []>('SELECT count(*) AS count FROM members').get()?.count ?? 0
}
