import { afterAll, beforeAll, expect, test } from 'bun:test'
import { join } from 'node:path'
import { type CopiedMember, ways } from '../console/src/member/copy-as.ts'
import { type ServerInProcess, serveInProcess } from './support/in-process-server.ts'
import { needing } from './support/needs.ts'
import { newFolder } from './support/server.ts'
import { runToEnd } from './support/spawn.ts'

/** What the console copies as code is run as it is: it writes the member, and reads what was written. */

const root = join(import.meta.dir, '..')
const token = 'a-token-of-more-than-enough-characters'
let server: ServerInProcess
beforeAll(async () => {
  server = await serveInProcess({ env: { KVIST_TOKEN: token } })
})
afterAll(() => server?.stop())

const hostile = `it's "$HOME" \`date\` \\ $(date) %41 ?#[]{}*~!\n<script>å😀\u2028&;|`

function member(key: string, contentType: string, value: string | Uint8Array<ArrayBuffer>): CopiedMember {
  const bytes = typeof value === 'string' ? new TextEncoder().encode(value) : value
  const text = typeof value === 'string' ? value : null
  return { origin: server.url, collection: `it's $HOME`, key, contentType, bytes, text, needsToken: true }
}

const members = (): readonly CopiedMember[] => [
  member('ann', 'application/json', '{"name": "Ann", "tags": ["é\\u0041", null, -1.5]}'),
  member(hostile, 'application/json', `{"n": 1.000000000000000000001e400, "n": ${JSON.stringify(hostile)}}`),
  member('-c', 'text/plain; charset=utf-8', `@file ${hostile}`),
  member('..', 'text/x-own; a="b\'c"', '-'),
  member('bytes', 'application/octet-stream', new Uint8Array([0, 255, 10, 39, 0])),
]

/** Runs what was copied in a folder of its own, and returns what it prints. */
async function run(id: string, copied: string, folder: string): Promise<string> {
  const env = {
    ...process.env,
    KVIST_TOKEN: token,
    PATH: `${join(root, 'bin')}:${process.env.PATH}`,
  }
  const commands: Readonly<Record<string, readonly string[]>> = {
    curl: ['sh', '-c', copied.replace(/^(.*?)curl /s, '$1curl -sS --fail-with-body ')],
    kvist: ['sh', '-c', copied],
    python: ['python3', '-c', copied],
    // Where the client resolves.
    typescript: [process.execPath, '--no-env-file', '-e', copied],
  }
  const cwd = id === 'typescript' ? root : folder
  const done = await runToEnd(commands[id]!, { env, cwd })
  expect([id, copied, done.exitCode, done.stderr]).toEqual([id, copied, 0, ''])
  return done.stdout
}

async function request({ origin, collection, key }: CopiedMember, method: string): Promise<Response> {
  const separator = key === '..' ? '%2F' : '/'
  const url = `${origin}/v1/${encodeURIComponent(collection)}${separator}${encodeURIComponent(key)}`
  return fetch(url, { method, headers: { authorization: `Bearer ${token}` } })
}

for (const { id, read, write } of ways) {
  const { test: testWith } = id === 'python' ? needing('python3') : { test }
  testWith(`${id}: what is copied writes the bytes and their type, and reads them`, async () => {
    const folder = newFolder()
    // Python takes its time to start.
    for (const copied of id === 'python' ? members().slice(1, 3) : members()) {
      await request(copied, 'DELETE')
      await run(id, write(copied), folder)
      const response = await request(copied, 'GET')
      expect([copied.key, response.headers.get('content-type')]).toEqual([copied.key, copied.contentType])
      const bytes = new Uint8Array(await response.arrayBuffer())
      // A value that JavaScript keeps is written as a literal of it.
      if (id === 'typescript' && copied.key === 'ann')
        expect(JSON.parse(new TextDecoder().decode(bytes))).toEqual(JSON.parse(copied.text!))
      else expect([...bytes]).toEqual([...copied.bytes!])
      const printed = await run(id, read(copied), folder)
      if (copied.contentType.startsWith('text/')) expect(printed.trimEnd()).toBe(copied.text!)
      else expect(printed).not.toBe('')
    }
  })
}
