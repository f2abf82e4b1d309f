import { afterAll, expect } from 'bun:test'
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Authority, type CertificateFiles, certificateFolder } from '../../test/support/certificates.ts'
import { needing } from '../../test/support/needs.ts'
import { run } from '../../test/support/program.ts'
import { startServer, type TestServer } from '../../test/support/server.ts'

/** The commands and a server with TLS and a token in a file. */

const { test, beforeAll } = needing('openssl', 'process')

const folder = certificateFolder()
const tokenFile = join(folder.path, 'token')
let authority: Authority
let own: CertificateFiles
let server: TestServer
let plain: TestServer

beforeAll(async () => {
  authority = await folder.authority('authority')
  own = await authority.issue('server')
  writeFileSync(tokenFile, 'sesame\n')
  chmodSync(tokenFile, 0o644)
  const flags = ['--tls-cert', own.cert, '--tls-key', own.key, '--token-file', tokenFile]
  ;[server, plain] = await Promise.all([startServer({ flags }), startServer()])
})
afterAll(async () => {
  await Promise.all([server?.remove(), plain?.remove()])
  folder[Symbol.dispose]()
})

async function kvist(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const { exitCode, stdout, stderr } = await run(args, { env: { KVIST_URL: server.url, ...env } })
  return { exitCode, stdout: stdout.toString(), stderr }
}

const done = (stdout: string) => ({ exitCode: 0, stdout, stderr: '' })
const failed = (line: string, exitCode = 1) => ({ exitCode, stdout: '', stderr: `kvist: ${line}\n` })

test('reach it with its authority and the token of the file', async () => {
  const [ca, token] = [
    ['--ca', authority.ca],
    ['--token-file', tokenFile],
  ] as const
  expect(await kvist(['put', 'k', '1', ...ca, ...token])).toEqual(done(''))
  const env = { KVIST_CA: authority.ca, KVIST_TOKEN_FILE: tokenFile }
  expect(await kvist(['get', 'k'], env)).toEqual(done('1'))
  expect(await kvist(['get', 'k', ...ca], { KVIST_TOKEN: 'sesame' })).toEqual(done('1'))
  expect(server.output()).toContain(`other users may read the token file ${tokenFile}`)
})

test('say what is wrong without it', async () => {
  const token = { KVIST_TOKEN: 'sesame' }
  expect(await kvist(['get', 'k'], token)).toEqual(
    failed(
      `cannot reach ${server.url}: its certificate is not of an authority that is trusted: see --ca and KVIST_CA`,
    ),
  )
  const [none, key] = [join(folder.path, 'none'), own.key]
  expect(await kvist(['get', 'k', '--ca', none])).toEqual(failed(`${none}: there is no such file or folder`))
  expect(await kvist(['get', 'k', '--ca', key])).toEqual(
    failed(`${key} holds no certificate in PEM: see --ca`, 2),
  )
  expect(await kvist(['get', 'k', '--url', `http://127.0.0.1:${server.port}`], token)).toEqual(
    failed('this port speaks TLS: the URL begins with https://'),
  )
  const secure = `https://127.0.0.1:${plain.port}`
  expect(await kvist(['get', 'k', '--url', secure])).toEqual(
    failed(`cannot reach ${secure}: it does not speak TLS there: its URL may begin with http://`),
  )
})

test('ask for its health: by its URL with the authority, on its own machine without', async () => {
  expect(await kvist(['health', '--ca', authority.ca])).toEqual(done(''))
  expect((await kvist(['health'])).stderr).toContain('see --ca and KVIST_CA')
  const { exitCode, stderr } = await run(['health'], {
    env: { KVIST_PORT: `${server.port}`, KVIST_TLS_CERT: own.cert },
  })
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' })
})
