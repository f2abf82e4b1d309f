import { afterAll, expect } from 'bun:test'
import { copyFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Authority, certificateFolder } from '../../../test/support/certificates.ts'
import { needing } from '../../../test/support/needs.ts'
import { readIdentity, type TlsIdentity } from './identity.ts'
import { ReloadingTls } from './reload.ts'

const { test, beforeAll } = needing('openssl')

const folder = certificateFolder()
const file = (name: string) => join(folder.path, name)
let authority: Authority
let first: { cert: string; key: string }
let second: { cert: string; key: string }
beforeAll(async () => {
  authority = await folder.authority('authority')
  ;[first, second] = [await authority.issue('first'), await authority.issue('second')]
})
afterAll(() => folder[Symbol.dispose]())

/** A source of files that the test replaces, and what it reports. */
function source() {
  const files = { certPath: file('used.pem'), keyPath: file('used.key'), clientCaPath: null }
  copyFileSync(first.cert, files.certPath)
  copyFileSync(first.key, files.keyPath)
  const reloaded: TlsIdentity[] = []
  const errors: string[] = []
  const tls = new ReloadingTls(files, {
    onReload: (identity) => reloaded.push(identity),
    onError: (error) => errors.push(error instanceof Error ? error.message : `${error}`),
  })
  tls.stop()
  return { tls, files, reloaded, errors }
}

test('files that stay are not read again; changed ones are in use at the next check', () => {
  const { tls, files, reloaded, errors } = source()
  const before = tls.identity
  tls.check()
  expect([tls.identity, reloaded]).toEqual([before, []])
  copyFileSync(second.cert, files.certPath)
  copyFileSync(second.key, files.keyPath)
  tls.check()
  tls.check()
  expect(reloaded).toEqual([tls.identity])
  expect(tls.identity).not.toBe(before)
  expect(errors).toEqual([])
})

test('a pair that does not fit, or is broken or gone, is reported once, and the one before stays', () => {
  const { tls, files, reloaded, errors } = source()
  const before = tls.identity
  copyFileSync(second.cert, files.certPath)
  tls.check()
  tls.check()
  expect(errors).toEqual([
    `${files.certPath} and ${files.keyPath} cannot be used for TLS: the key is not that of the certificate`,
  ])
  writeFileSync(files.keyPath, 'half a')
  tls.check()
  expect(errors.at(-1)).toBe(`${files.keyPath} holds no private key in PEM`)
  rmSync(files.keyPath)
  tls.check()
  expect(errors.at(-1)).toBe(`the TLS key ${files.keyPath} cannot be read: ENOENT`)
  expect([tls.identity, reloaded]).toEqual([before, []])
  copyFileSync(second.key, files.keyPath)
  tls.check()
  expect(reloaded).toEqual([tls.identity])
})

test('a link that points to another file is a change', () => {
  const { tls, files, reloaded } = source()
  for (const [pair, count] of [
    [first, 1],
    [second, 2],
  ] as const) {
    for (const [path, target] of [
      [files.certPath, pair.cert],
      [files.keyPath, pair.key],
    ] as const) {
      symlinkSync(target, `${path}.new`)
      renameSync(`${path}.new`, path)
    }
    tls.check()
    expect(reloaded).toHaveLength(count)
  }
})

test('files that cannot be used are refused with their name', async () => {
  const empty = file('empty')
  writeFileSync(empty, '')
  const halfChain = file('half-chain.pem')
  writeFileSync(halfChain, '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n')
  const locked = file('locked.key')
  writeFileSync(locked, '-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n')
  const own = { certPath: first.cert, keyPath: first.key, clientCaPath: null }
  const refused: [files: Partial<Parameters<typeof readIdentity>[0]>, message: string][] = [
    [{ certPath: file('none') }, `the TLS certificate ${file('none')} cannot be read: ENOENT`],
    [{ keyPath: folder.path }, `the TLS key ${folder.path} cannot be read: EISDIR`],
    [{ certPath: empty }, `${empty} holds no certificate in PEM`],
    [{ certPath: first.key }, `${first.key} holds no certificate in PEM`],
    [{ certPath: halfChain }, `certificate 1 of ${halfChain} cannot be parsed`],
    [{ keyPath: first.cert }, `${first.cert} holds no private key in PEM`],
    [{ keyPath: locked }, `${locked} holds a private key with a passphrase, which kvist cannot ask for`],
    [{ clientCaPath: empty }, `${empty} holds no certificate in PEM`],
    [
      { clientCaPath: file('none') },
      `the authorities of client certificates ${file('none')} cannot be read: ENOENT`,
    ],
  ]
  for (const [files, message] of refused)
    expect(() => readIdentity({ ...own, ...files })).toThrow(new Error(message))
  expect(readIdentity({ ...own, clientCaPath: authority.ca })).toMatchObject({
    asksForCertificate: true,
    names: 'DNS:localhost, IP Address:127.0.0.1',
  })
})
