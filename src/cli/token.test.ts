import { afterAll, beforeAll, expect, test } from 'bun:test'
import { run, runOnTerminal } from '../../test/support/program.ts'
import { startServer, type TestServer } from '../../test/support/server.ts'

/** Tokens on the command line: created, shown, revoked. */

let server: TestServer
beforeAll(async () => {
  server = await startServer({ env: { KVIST_TOKEN: 'sesame' } })
})
afterAll(() => server.remove())

async function kvist(args: readonly string[], env: Record<string, string> = { KVIST_TOKEN: 'sesame' }) {
  const { exitCode, stdout, stderr } = await run(args, { env: { KVIST_URL: server.url, ...env } })
  return { exitCode, stdout: stdout.toString(), stderr }
}

const create = ['token', 'create', '--name', 'app', '--allow']

test('a token is alone on standard output, and does what it was created for until it is revoked', async () => {
  const allow = ['read,write:users', '--allow', 'read:logs/*', '--key-prefix', 't1/', '--expires', '90d']
  const { exitCode, stdout, stderr } = await kvist([...create, ...allow])
  expect(exitCode).toBe(0)
  const [, id = ''] = /^kvist_([0-9a-z]{12})_[\w-]{43}\n$/.exec(stdout) ?? []
  expect(stderr).toMatch(
    /^kvist: token [0-9a-z]{12} may read,write:users\/t1\/\* read:logs until 2\d{3}-\S+Z; it is shown only now\n$/,
  )
  expect(stderr).toContain(` ${id} `)
  const own = { KVIST_TOKEN: stdout.trim() }
  const expiry = /until (\S+);/.exec(stderr)?.[1] ?? ''
  expect((await kvist(['whoami'], own)).stdout).toBe(`app\tread,write:users/t1/* read:logs\t-\t${expiry}\n`)
  expect((await kvist(['put', '-c', 'users', 't1/a', '1'], own)).exitCode).toBe(0)
  expect(await kvist(['put', '-c', 'users', 't2/a', '1'], own)).toEqual({
    exitCode: 1,
    stdout: '',
    stderr: 'kvist: the token of "app" does not grant write on users/t2/a\n',
  })
  expect((await kvist(['collections'], own)).stdout).toBe('users\t-\t-\n')
  expect((await kvist(['token', 'list'])).stdout).toMatch(
    new RegExp(`^${id}\\tapp\\tread,write:users/t1/\\* read:logs\\t-\\t${expiry}\\t\\S+Z\\t-$`, 'm'),
  )
  expect(await kvist(['token', 'revoke', id])).toEqual({ exitCode: 0, stdout: '', stderr: '' })
  expect((await kvist(['whoami'], own)).stderr).toContain(
    'the token is not valid: it is wrong, has expired or was revoked',
  )
  expect((await kvist(['token', 'list'])).stdout).not.toContain(id)
})

test('--json prints all of it, and nothing else', async () => {
  const { exitCode, stdout, stderr } = await kvist([...create, 'read:*', '--json'])
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' })
  const created = JSON.parse(stdout)
  expect(created).toMatchObject({
    name: 'app',
    grants: [{ collections: '*', can: ['read'] }],
    expires_at: null,
  })
  const { token, ...listed } = created
  const lines = (await kvist(['token', 'list', '--json'])).stdout.trim().split('\n')
  expect(lines.map((line) => JSON.parse(line))).toContainEqual(listed)
  const me = JSON.parse((await kvist(['whoami', '--json'], { KVIST_TOKEN: token })).stdout)
  expect(me).toEqual({ name: 'app', grants: created.grants, expires_at: null })
})

test('a token may have a rate of its own, and a subject of certificates in place of a text', async () => {
  const rate = ['--rate-limit', '50/s:100']
  const token = (await kvist([...create, 'read:users', ...rate])).stdout.trim()
  expect((await kvist(['whoami'], { KVIST_TOKEN: token })).stdout).toBe('app\tread:users\t50/s:100\tnever\n')
  const subject = ['--subject', 'CN=app,O=Acme']
  const { exitCode, stdout, stderr } = await kvist([...create, 'read:users', ...subject])
  expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: '' })
  expect(stderr).toMatch(/until it is revoked; certificates of CN=app,O=Acme stand for it\n$/)
  expect((await kvist(['token', 'list'])).stdout).toContain('\tread:users\t-\tnever\tnever\tCN=app,O=Acme\n')
  expect((await kvist([...create, 'read:users', ...subject])).stderr).toContain('CN=app,O=Acme has the token')
})

test('a token that leaked is revoked by itself; an id that is none is named', async () => {
  const token = (await kvist([...create, 'read:users'])).stdout.trim()
  expect(await kvist(['token', 'revoke', 'app', token])).toEqual({
    exitCode: 1,
    stdout: '',
    stderr: 'kvist: there is no token with the id app: see kvist token list\n',
  })
  expect((await kvist(['whoami'], { KVIST_TOKEN: token })).exitCode).toBe(1)
})

test('an export with a token for some keys shows no share of a total that it does not know', async () => {
  await kvist(['put', '-c', 'exported', 't1/a', '1'])
  const token = (await kvist([...create, 'read:exported/t1/*'])).stdout.trim()
  const env = { KVIST_URL: server.url, KVIST_TOKEN: token }
  const terminal = runOnTerminal(['export', '-c', 'exported', '/dev/null'], { env })
  expect(await terminal.exited).toBe(0)
  expect(terminal.screen()).toContain('export 1 members')
  expect(terminal.screen()).not.toContain('%')
})

test('on a terminal a token is on a line of its own', async () => {
  const env = { KVIST_URL: server.url, KVIST_TOKEN: 'sesame' }
  const terminal = runOnTerminal([...create, 'read:users'], { env })
  expect(await terminal.exited).toBe(0)
  expect(terminal.screen()).toMatch(/^kvist: token \S+ may read:users until .*\r\nkvist_\S+\r\n$/)
})

test.each([
  [['token', 'create'], 'token create needs --name: what people will know the token by'],
  [
    ['token', 'create', '--name', 'app'],
    'token create needs --allow: what the token may do, read,write:users say',
  ],
  [[...create, 'users'], '--allow "users" names no collection'],
  [[...create, 'read:users', '--key-prefix', ''], '--key-prefix is empty'],
  [[...create, 'read:users', '--expires', '0'], '--expires must be a time from 1s to 36500d'],
  [[...create, 'read:users', '--expires', ''], '--expires is empty: it must be a time'],
  [[...create, 'read:users', 'x'], 'token create does not know what to do with "x"'],
  [
    [...create, 'read:users', '--nam', 'x'],
    'token create has no option "--nam": see kvist token create --help',
  ],
  [['token', 'create', '--name', '', '--allow', 'read:users'], 'name must be a text that is not empty'],
  [[...create, 'read:users', '--rate-limit', '50'], 'rate_limit must be a rate like "50/s"'],
  [[...create, 'read:users', '--subject', ''], 'subject must be a text that is not empty'],
  [['token', 'revoke'], 'token revoke needs ID: the id of a token, or the token itself'],
  [['token', 'revoke', ''], 'the id must be the id of a token'],
  [['token', 'drop'], 'there is no command "token drop": see kvist token --help'],
  [['token', 'toString'], 'there is no command "token toString"'],
])('%j is not understood', async (args, message) => {
  const { exitCode, stdout, stderr } = await kvist(args)
  expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' })
  expect(stderr).toStartWith(`kvist: ${message}`)
})

test('what the server refuses is reported in its words', async () => {
  const token = (await kvist([...create, 'admin:users'])).stdout.trim()
  for (const args of [
    ['token', 'list'],
    [...create, 'read:users'],
    ['token', 'revoke', 'abc'],
  ])
    expect(await kvist(args, { KVIST_TOKEN: token })).toEqual({
      exitCode: 1,
      stdout: '',
      stderr: 'kvist: the token of "app" does not grant admin on all collections\n',
    })
  expect((await kvist([...create, 'read:_tokens'])).stderr).toContain("kvist's own collections")
})
