import { expect, test } from 'bun:test'
import { dialects } from '../../src/http/dialects/all.ts'
import { options } from '../../src/server-options.ts'
import { startServer } from '../support/server.ts'
import { expectReply, send } from './exchanges.ts'

test('--dialect takes the name of every dialect there is, and no other', () => {
  expect(options.dialect.choices).toEqual(dialects.map(({ name }) => name))
})

test('a missing token is an error in the shape of each', async () => {
  const server = await startServer({ env: { KVIST_TOKEN: 'secret' } })
  const asks: Readonly<Record<string, [ask: string, refused: string]>> = {
    ozza: ['GET /things', '{"error":"this server needs a token: Authorization: Bearer …"}'],
    keys: ['GET /keys', '{"error":"this server needs a token: Authorization: Bearer …"}'],
    reforg: ['GET /api/v1/keys', '{"detail":"this server needs a token: Authorization: Bearer …"}'],
    minstore: ['GET /text/a', '{"error":"this server needs a token: Authorization: Bearer …"}'],
    tenantbase: ['GET /get-values', '401: this server needs a token: Authorization: Bearer …'],
  }
  try {
    for (const { name } of dialects) {
      const [ask, reply] = asks[name]!
      const mount = `/dialects/${name}`
      const refused = { ask, status: 401, reply, headers: { 'www-authenticate': 'Bearer' } }
      expectReply(await send(server, mount, refused), refused)
      // What no row takes is refused in the same way.
      const unknown = { ...refused, ask: 'GET /nothing/at/all' }
      expectReply(await send(server, mount, unknown), unknown)
    }
  } finally {
    await server.remove()
  }
})

test('a failure of the store is what each says of failures', () => {
  const failed = { status: 507, code: 'storage_full', detail: 'the disk is full' }
  const reported = dialects.map(({ name, refuse }) => {
    const { status, headerBlock, body } = refuse(failed, { 'Retry-After': '10' })
    return `${name} ${status} ${/Retry-After: (.*)\r\n/.exec(headerBlock)?.[1]} ${body}`
  })
  expect(reported).toEqual([
    'ozza 507 10 {"error":"the disk is full"}',
    'keys 500 10 {"error":"Internal error :("}',
    'reforg 507 10 {"detail":"the disk is full"}',
    'minstore 507 10 {"error":"the disk is full"}',
    'tenantbase 507 10 507: the disk is full',
  ])
  const internal = { status: 500, code: 'internal', detail: 'an error in kvist' }
  expect(dialects.map(({ name, refuse }) => `${name} ${refuse(internal, {}).body}`)).toContain(
    'keys {"error":"Internal error :("}',
  )
})

const tooLarge: Readonly<Record<string, [ask: string, type: string]>> = {
  ozza: ['PUT /things', 'application/json'],
  keys: ['PUT /keys', 'application/json'],
  minstore: ['POST /text/a', 'application/x-www-form-urlencoded'],
  tenantbase: ['POST /set-value', 'application/json'],
}

test.each(Object.entries(tooLarge))(
  '%s refuses a body that is too large with 413, declared or not',
  async (name, [ask, type]) => {
    const server = await startServer()
    const [method = '', path = ''] = ask.split(' ')
    const url = `${server.url}/dialects/${name}${path}`
    const part = new Uint8Array(1024 * 1024).fill(0x20)
    const parts = () =>
      new ReadableStream<Uint8Array>({
        start(controller) {
          for (let i = 0; i < 34; i++) controller.enqueue(part)
          controller.close()
        },
      })
    try {
      const bodies = [Buffer.alloc(34 * 1024 * 1024, ' '), parts()]
      for (const body of bodies) {
        const response = await fetch(url, { method, body, headers: { 'content-type': type } })
        expect(`${response.status} ${await response.text()}`).toMatch(/^413 .*bytes/)
      }
      expect(await (await fetch(`${server.url}/v1`)).json()).toEqual({ collections: [], next: null })
    } finally {
      await server.remove()
    }
  },
)
