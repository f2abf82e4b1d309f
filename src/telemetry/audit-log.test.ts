import { expect, test } from 'bun:test'
import { manualTimers } from '../../test/support/manual-timers.ts'
import { type AuditEntry, openAuditLog } from './audit-log.ts'
import type { LineDisk } from './line-file.ts'

/** The audit log on a disk that takes nothing. What its lines say is in test/audit-log.test.ts. */

const entry: AuditEntry = { protocol: 'http', principal: 'app', client: '192.0.2.7' }

function openFailing() {
  const said: string[] = []
  const disk: LineDisk = {
    open: () => 0,
    write: async () => {
      throw new Error('ENOSPC: no space left on device')
    },
    sync: async () => {},
    close: async () => {},
    sleep: () => new Promise(() => {}),
  }
  const audit = openAuditLog({
    path: 'audit.log',
    now: () => 0,
    monotonicMs: () => 0,
    timers: manualTimers(),
    stdout: (line) => said.push(line),
    log: {
      info: (message) => said.push(`info ${message}`),
      warn: (message, fields) => said.push(`warn ${message} ${JSON.stringify(fields)}`),
      error: (error, fields) => said.push(`error ${String(error)} ${JSON.stringify(fields)}`),
    },
    disk,
  })
  return { audit, said }
}

test('what cannot be written is said at once, and how much is missing at the end', async () => {
  const { audit, said } = openFailing()
  audit.write(entry)
  audit.write(entry)
  while (said.length === 0) await new Promise((resolve) => setImmediate(resolve))
  expect(said).toEqual([
    'error Error: the audit log cannot be written: ENOSPC: no space left on device; writes go on {"audit_log":"audit.log","lost_lines":0,"waiting_bytes":186}',
  ])
  await audit.close()
  expect(said.at(-1)).toBe('warn the audit log lacks 2 lines {"audit_log":"audit.log","lost_lines":2}')
})
