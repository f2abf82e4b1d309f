import { expect } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Kvist } from '../sdk/client.ts'
import { certificateFolder } from './support/certificates.ts'
import { until } from './support/engine.ts'
import { needing } from './support/needs.ts'
import { startServer } from './support/server.ts'

const { test } = needing('openssl')

test('a target with TLS and a token gets changes, if its authority is known', async () => {
  using folder = certificateFolder()
  const authority = await folder.authority('authority')
  const { cert, key } = await authority.issue('server')
  const token = join(folder.path, 'token')
  const target = await startServer({
    flags: ['--tls-cert', cert, '--tls-key', key],
    env: { KVIST_TOKEN: 'sesame' },
  })
  writeFileSync(token, 'sesame\n', { mode: 0o600 })
  const to = ['--mirror-to', target.url, '--mirror-token-file', token]
  const stranger = await startServer({ flags: to })
  const emitter = await startServer({ flags: [...to, '--mirror-ca', authority.ca] })
  const targetOf = async (url: string) => (await new Kvist(url).nodes.status()).targets[0]!
  try {
    for (const { url } of [stranger, emitter]) await fetch(`${url}/v1/c/k`, { method: 'PUT', body: '1' })
    await until(async () => (await targetOf(emitter.url)).sent === 1, 'it is sent')
    await until(async () => (await targetOf(stranger.url)).failures > 0, 'it is not trusted')
    expect((await targetOf(stranger.url)).sent).toBe(0)
  } finally {
    for (const server of [stranger, emitter, target]) await server.remove()
  }
})

test('a leader and a follower with TLS and tokens change places', async () => {
  using folder = certificateFolder()
  const authority = await folder.authority('authority')
  const { cert, key } = await authority.issue('server')
  const tls = { ca: await Bun.file(authority.ca).text() }
  const rootFile = join(folder.path, 'root')
  writeFileSync(rootFile, 'sesame\n', { mode: 0o600 })
  const usual = ['--tls-cert', cert, '--tls-key', key, '--token-file', rootFile]
  const leader = await startServer({ flags: usual })
  const root = new Kvist(leader.url, { token: 'sesame', tls })
  const grants = [{ collections: '*', can: ['read', 'replicate', 'admin'] }] as const
  const { token } = await root.tokens.create({ name: 'follower', grants })
  const tokenFile = join(folder.path, 'token')
  writeFileSync(tokenFile, token, { mode: 0o600 })
  const flags = [
    ...usual,
    '--follow',
    leader.url,
    '--mirror-token-file',
    tokenFile,
    '--mirror-ca',
    authority.ca,
  ]
  const follower = await startServer({ flags })
  const other = new Kvist(follower.url, { token: 'sesame', tls })
  try {
    await other.collection('c').put('k', 1)
    await until(async () => (await other.collection('c').get('k')) !== null, 'it is there')
    expect(await other.nodes.promote({ url: follower.url })).toMatchObject({
      former_leader: { is_demoted: true },
    })
    await root.collection('c').put('l', 2)
    expect((await other.collection('c').get('l'))?.value).toBe(2)
  } finally {
    for (const server of [follower, leader]) await server.remove()
  }
})
