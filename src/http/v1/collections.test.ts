import { afterAll, beforeAll, expect, test } from 'bun:test'
import { connect } from 'node:net'
import { authenticatorOf } from '../../../test/support/authenticator.ts'
import { until } from '../../../test/support/engine.ts'
import { openTestEngine } from '../../../test/support/test-engine.ts'
import { type Database, openDatabase } from '../../core/database.ts'
import type { Member } from '../../core/member.ts'
import { type HttpServer, listen } from '../server.ts'
import { v1Routes } from './routes.ts'

/** What becomes of a stream when its reader goes away, or its store fails: seen from inside of the server. */

let db: Database
let server: HttpServer
const errors: unknown[] = []
/** What `all` does in place of listing. */
let parts: () => AsyncGenerator<Member[]>

beforeAll(async () => {
  db = await openDatabase({
    open: (onCommit) => openTestEngine(onCommit),
    cacheBytes: 0,
    now: Date.now,
    onError: () => {},
  })
  server = listen({
    host: '127.0.0.1',
    port: 0,
    idleTimeoutSeconds: 30,
    authenticator: authenticatorOf(null),
    now: Date.now,
    hostNames: ['x'],
    routes: v1Routes({ ...db, all: () => parts() }),
    onError: (error) => errors.push(error),
    observe: () => () => {},
  })
})
afterAll(async () => {
  await server.stop(0)
  await db.close()
})

function member(key: string): Member {
  const rest = {
    createdAtMs: 0,
    clock: 0,
    node: '',
    expiresAtMs: null,
    contentType: 'application/json',
    flags: 0,
  }
  return { key, value: '1', revision: 1, ...rest }
}

/** Lists as NDJSON; `read` says when to go away. */
async function readThenLeave(isEnough: (bytes: number) => boolean): Promise<void> {
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1', () =>
    socket.write('GET /v1/c HTTP/1.1\r\nHost: x\r\nAccept: application/x-ndjson\r\n\r\n'),
  )
  let bytes = 0
  socket.on('data', (part: Buffer) => {
    bytes += part.length
  })
  await until(() => isEnough(bytes), 'the reader had enough')
  socket.destroy()
}

test.each([
  ['many members', () => [member('a'), member('b')]],
  ['no members', () => []],
])('a reader that goes away ends a stream of %s', async (_what, part) => {
  let ended = false
  let yielded = 0
  parts = async function* () {
    try {
      for (;;) {
        yielded++
        yield part()
        await Bun.sleep(0)
      }
    } finally {
      ended = true
    }
  }
  await readThenLeave(() => yielded > 10)
  await until(() => ended, 'the work ended')
})

test('a store that fails in the middle breaks the stream off: half a list never looks whole', async () => {
  const broken = new Error('the disk is gone')
  parts = async function* () {
    yield [member('a')]
    await Bun.sleep(5)
    throw broken
  }
  const response = await fetch(`${server.url}/v1/c`, { headers: { accept: 'application/x-ndjson' } }).catch(
    () => null,
  )
  expect(await response?.text().catch(() => 'broken off')).toBeOneOf(['broken off', undefined])
  expect(errors).toEqual([broken])
})

test('the parts of a stream are asked for as they are read', async () => {
  let asked = 0
  const large = { ...member('a'), value: `"${'x'.repeat(100_000)}"` }
  parts = async function* () {
    for (; asked < 3000; asked++) yield [large]
  }
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1', () =>
    socket.write('GET /v1/c HTTP/1.1\r\nHost: x\r\nAccept: application/x-ndjson\r\n\r\n'),
  )
  socket.once('data', () => socket.pause())
  let before = -1
  while (asked !== before || asked === 0) {
    before = asked
    await Bun.sleep(300)
  }
  socket.destroy()
  // What the kernel takes in between is some megabytes.
  expect(asked).toBeLessThan(500)
})
