import { expect, test } from 'bun:test'
import { authenticatorOf } from '../../test/support/authenticator.ts'
import { openPort } from '../../test/support/memcached/open-port.ts'
import { ClientLimits } from '../auth/client-limits.ts'
import { KvistError } from '../core/errors.ts'
import { parseRate } from '../core/rate.ts'
import type { AuditEntry, AuditLog } from '../telemetry/audit-log.ts'

/** What the audit log has of the commands of memcached clients. */

interface Kept extends AuditLog {
  readonly entries: AuditEntry[]
}

function auditLog(): Kept {
  const entries: AuditEntry[] = []
  return {
    entries,
    write: (entry) => void entries.push(entry),
    refused: (_network, entry) => void entries.push(entry),
    reopen() {},
    async close() {},
    counts: { written: 0, lost: 0, waitingBytes: 0 },
  }
}

/** As text, a line for each: command, key, status, and whether something was written. */
function shown({ entries }: Kept): string[] {
  return entries.map(
    ({ command, key, status, revision }) =>
      `${command} ${key} ${status}${revision === null ? '' : ' written'}`,
  )
}

test('a write has a line that says who did what, and with which revision', async () => {
  const audit = auditLog()
  await using opened = await openPort({ audit })
  const client = await opened.connect()
  await client.ask('set k 0 0 6\r\ns3cret\r\n', '\r\n')
  expect(audit.entries).toEqual([
    {
      protocol: 'memcached',
      principal: 'anyone',
      client: '127.0.0.1',
      command: 'set',
      collection: 'cache',
      key: 'k',
      status: 'ok',
      revision: (await opened.db.get('cache', 'k'))!.revision,
    },
  ])
})

test('every command that may write has a line for each key, and reads have none', async () => {
  const audit = auditLog()
  await using opened = await openPort({ audit })
  const client = await opened.connect()
  const commands = [
    'set a 0 0 1\r\n1\r\n',
    'add a 0 0 1\r\n1\r\n',
    'incr a 1\r\n',
    'decr none 1\r\n',
    'append a 0 0 1 noreply\r\n1\r\n',
    'cas a 0 0 1 77\r\n1\r\n',
    'touch a 100\r\n',
    'gat 100 a\r\n',
    'gat 100 none\r\n',
    'get a\r\n',
    'mg a v\r\n',
    'mg new N30 v\r\n',
    'mg a T30\r\n',
    'ms b 1\r\n1\r\n',
    'ma b\r\n',
    'md b q\r\n',
    'md b x\r\n',
    'delete a\r\n',
    'delete a noreply\r\n',
    `set big 0 0 2000000\r\n${'x'.repeat(2_000_000)}\r\n`,
    'flush_all\r\n',
    'stats settings\r\n',
    'version\r\n',
    'mn\r\n',
  ]
  await client.ask(commands.join(''), 'MN\r\n')
  expect(shown(audit)).toEqual([
    'set a ok written',
    'add a ok',
    'incr a ok written',
    'decr none ok',
    'append a ok written',
    'cas a ok',
    'touch a ok written',
    'gat a ok written',
    'gat none ok',
    'mg new ok written',
    'mg a ok written',
    'ms b ok written',
    'ma b ok written',
    'md b ok written',
    'md b ok',
    'delete a ok written',
    'delete a ok',
    'set big ok',
    'flush_all null ok',
  ])
  const revisions = audit.entries.flatMap(({ revision }) => (revision === null ? [] : [Number(revision)]))
  expect(revisions).toEqual(revisions.toSorted((a, b) => a - b))
})

test('a write that fails has a line with its error', async () => {
  const audit = auditLog()
  await using opened = await openPort({ audit })
  const failing = async (): Promise<never> => {
    throw new KvistError('storage_full', 'the disk is full')
  }
  await using full = await openPort({ audit, db: { ...opened.db, write: failing, update: failing } })
  const client = await full.connect()
  await client.ask('set a 0 0 1\r\n1\r\nincr a 1\r\nmn\r\n', 'MN\r\n')
  const line = 'SERVER_ERROR out of memory storing object'
  expect(shown(audit)).toEqual([`set a ${line}`, `incr a ${line}`])
})

test('what is refused has a line: before the login, with a wrong token, and beyond the rate', async () => {
  const audit = auditLog()
  const limits = new ClientLimits({ rate: parseRate('5/h'), monotonicMs: () => 0 })
  await using opened = await openPort({ audit, limits, authenticator: authenticatorOf('s3cret') })
  const client = await opened.connect()
  await client.ask('get k\r\n', '\r\n')
  await client.ask('set s3cret-key 0 0 15\r\nme wrong-s3cret\r\n', '\r\n')
  await client.ask('set login 0 0 9\r\nme s3cret\r\n', '\r\n')
  for (let i = 0; i < 5; i++) await client.ask('get k\r\n', '\r\n')
  await client.ask(
    'get k l\r\nset k 0 0 1 noreply\r\n1\r\nmn\r\n',
    'limited\r\nSERVER_ERROR rate limited\r\n',
  )
  const limited = 'SERVER_ERROR rate limited'
  const lines = shown(audit).map((line, i) => `${audit.entries[i]!.principal}: ${line}`)
  expect(lines).toEqual([
    'unauthenticated: get k CLIENT_ERROR unauthenticated',
    'unauthenticated: login null CLIENT_ERROR authentication failure',
    `root: get k ${limited}`,
    `root: set k ${limited}`,
    `root: mn null ${limited}`,
  ])
  expect(audit.entries.at(-1)).toMatchObject({ token: 'root' })
  expect(JSON.stringify(audit.entries)).not.toContain('s3cret')
})
