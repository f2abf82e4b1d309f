import { afterAll, expect } from 'bun:test'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Kvist, KvistInputError, KvistUnreachableError } from '../sdk/client.ts'
import { buildSdk } from './support/build.ts'
import { type Authority, type CertificateFiles, certificateFolder } from './support/certificates.ts'
import { needing } from './support/needs.ts'
import { startServer, type TestServer } from './support/server.ts'
import { outputOf } from './support/spawn.ts'

/** The client over https, with an authority of the operator, as each runtime has it. */

const { test, beforeAll } = needing('openssl')

const root = join(import.meta.dir, '..')
const folder = certificateFolder()
let authority: Authority
let app: CertificateFiles
let server: TestServer

beforeAll(async () => {
  authority = await folder.authority('authority')
  const own = await authority.issue('server')
  app = await authority.issue('app')
  await buildSdk(join(folder.path, 'node_modules/kvist-client'))
  const flags = ['--tls-cert', own.cert, '--tls-key', own.key, '--tls-client-ca', authority.ca]
  server = await startServer({ flags, env: { KVIST_TOKEN: 'sesame' } })
})
afterAll(async () => {
  await server?.remove()
  folder[Symbol.dispose]()
})

const text = (path: string) => readFileSync(path, 'utf8')
const token = 'sesame'

test('Bun takes the authority, and the certificate of the client', async () => {
  const tls = { ca: text(authority.ca) }
  const kvist = new Kvist(server.url, { token, tls })
  await kvist.collection('c').put('k', 1)
  const grants = [{ collections: 'c', can: ['read'] as const }]
  await fetch(`${server.url}/v1/_tokens`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${token}` },
    body: JSON.stringify({ name: 'app', grants, subject: 'CN=app' }),
    tls,
  })
  const known = new Kvist(server.url, { tls: { ...tls, cert: text(app.cert), key: text(app.key) } })
  expect(await known.collection('c').getText('k')).toBe('1')
  const strict = new Kvist(server.url, { token, retries: 0 })
  await expect(strict.collection('c').get('k')).rejects.toBeInstanceOf(KvistUnreachableError)
})

/** A program that prints the value of a member that it has put. */
const program = `
import { readFileSync } from 'node:fs'
import { Kvist } from './node_modules/kvist-client/client.js'
const [url, ca] = process.argv.slice(-2)
const tls = ca === 'none' ? {} : { tls: { ca: readFileSync(ca, 'utf8') } }
const things = new Kvist(url, { token: '${token}', ...tls }).collection('things')
await things.put('k', { of: 'mine' })
console.log((await things.get('k')).value.of)
`

test('Deno takes the authority, and Node that of its environment', async () => {
  const path = join(folder.path, 'program.mjs')
  writeFileSync(path, program)
  const { PATH, HOME } = process.env
  const env = { PATH, HOME, DENO_DIR: join(folder.path, 'deno'), DENO_NO_UPDATE_CHECK: '1' }
  const deno = [join(root, 'node_modules/.bin/deno'), 'run', '--no-remote', '--no-prompt', '-A', path]
  expect(await outputOf([...deno, server.url, authority.ca], { env, cwd: folder.path })).toBe('mine\n')
  const node = ['node', path, server.url]
  const trusting = { ...env, NODE_EXTRA_CA_CERTS: authority.ca }
  expect(await outputOf([...node, 'none'], { env: trusting, cwd: folder.path })).toBe('mine\n')
  await expect(outputOf([...node, authority.ca], { env, cwd: folder.path })).rejects.toThrow(
    'the fetch of this runtime takes no certificates',
  )
})

test('a mistake in the options is an error before anything is sent', () => {
  const kvistOf = (options: object) => () => new Kvist('https://kvist.invalid', options)
  for (const [options, message] of [
    [{ tls: { cert: 'c' } }, 'tls.cert and tls.key are a pair: give both, or neither'],
    [{ tls: { ca: 7 } }, 'ca must be a text of whole characters, not 7'],
    [{ tls: { verify: false } }, 'there is no option "verify"; known are ca, cert, key'],
    [{ tls: true }, 'expected an object of options, not true'],
    [{ tls: {}, fetch }, 'tls is for the fetch of the runtime: give tls, or a fetch of your own'],
  ] as const)
    expect(kvistOf(options)).toThrow(new KvistInputError(message))
})
