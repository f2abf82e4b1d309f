import { afterAll, expect, test } from 'bun:test'
import { rmSync } from 'node:fs'
import { jsonOf } from './support/responses.ts'
import { newFolder, startServer } from './support/server.ts'

/** Tokens that were shown are valid, and revoked ones are not, however soon after that the server is killed. */

const dataFolder = newFolder()
afterAll(() => rmSync(dataFolder, { recursive: true, force: true }))

interface Created {
  readonly id: string
  readonly token: string
}

const grants = [{ collections: 'users', can: ['read'] }]
const rounds = 5

test(`a server that is killed ${rounds} times forgets no token, and no revocation`, async () => {
  const valid: Created[] = []
  const revoked: Created[] = []
  for (let round = 0; round <= rounds; round++) {
    const server = await startServer({ dataFolder, env: { KVIST_TOKEN: 'root' } })
    const send = (token: string, method: string, path: string, body?: unknown) =>
      fetch(server.url + path, {
        method,
        headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
    try {
      for (const { token } of valid) expect((await send(token, 'GET', '/v1/users')).status).toBe(200)
      for (const { token } of revoked) expect((await send(token, 'GET', '/v1/users')).status).toBe(401)
      const { tokens } = await jsonOf<{ tokens: Created[] }>(await send('root', 'GET', '/v1/_tokens'))
      expect(tokens.map(({ id }) => id).toSorted()).toEqual(valid.map(({ id }) => id).toSorted())
      if (round === rounds) return
      // Killed as soon as the last of several responses has come: what was not acknowledged may be either.
      const create = async () => {
        const response = await send('root', 'POST', '/v1/_tokens', { name: `${round}`, grants })
        expect(response.status).toBe(201)
        valid.push(await jsonOf<Created>(response))
      }
      const revoke = async () => {
        const one = valid.shift()
        if (one === undefined) return
        expect((await send('root', 'DELETE', `/v1/_tokens/${one.id}`)).status).toBe(204)
        revoked.push(one)
      }
      if (round % 2 === 0) await Promise.all([create(), create(), create()])
      await Promise.all([revoke(), round % 2 === 0 ? create() : revoke()])
    } finally {
      await server.crash()
    }
  }
})
