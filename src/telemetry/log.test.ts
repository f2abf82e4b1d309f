import { expect, test } from 'bun:test'
import { stripVTControlCharacters } from 'node:util'
import { KvistError } from '../core/errors.ts'
import { type Log, type LogLevel, startLog } from './log.ts'

function logTo(readable: boolean, level: LogLevel = 'info'): { log: Log; lines: string[] } {
  const lines: string[] = []
  return { log: startLog({ level, readable, write: (line) => lines.push(line) }), lines }
}

function jsonOf(report: (log: Log) => void): Record<string, unknown> {
  const { log, lines } = logTo(false)
  report(log)
  expect(lines).toHaveLength(1)
  expect(lines[0]).toEndWith('\n')
  expect(lines[0]!.trimEnd()).not.toContain('\n')
  return JSON.parse(lines[0]!)
}

function readableOf(report: (log: Log) => void): string {
  const { log, lines } = logTo(true)
  report(log)
  expect(lines).toHaveLength(1)
  return stripVTControlCharacters(lines[0]!)
}

test('a line has its time, its level, its message, and what belongs to it', () => {
  const line = jsonOf((log) => log.info('kvist serves', { url: 'http://localhost:1', data: 'd' }))
  expect(line).toEqual({
    time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    level: 'info',
    message: 'kvist serves',
    url: 'http://localhost:1',
    data: 'd',
  })
})

test('an error comes with its causes, and a stack only where nobody foresaw it', () => {
  const disk = Object.assign(new Error('no space left', { cause: 'quota' }), {
    code: 'ENOSPC',
    syscall: 'write',
  })
  const { level, message, request_id, error } = jsonOf((log) =>
    log.error(new KvistError('storage_full', 'the disk is full', {}, disk), { request_id: 'r1' }),
  )
  expect({ level, message, request_id }).toEqual({
    level: 'error',
    message: 'the disk is full',
    request_id: 'r1',
  })
  expect(error).toEqual({
    name: 'KvistError',
    message: 'the disk is full',
    code: 'storage_full',
    cause: {
      name: 'Error',
      message: 'no space left',
      code: 'ENOSPC',
      syscall: 'write',
      stack: expect.stringContaining('log.test.ts'),
      cause: 'quota',
    },
  })
})

test('causes that go round in a circle come to an end', () => {
  const error = new Error('chicken')
  error.cause = new Error('egg', { cause: error })
  const line = JSON.stringify(jsonOf((log) => log.error(error)))
  expect(line.match(/egg/g)!.length).toBeLessThan(50)
})

test('what is thrown need not be an error', () => {
  expect(jsonOf((log) => log.error('a text'))).toMatchObject({ message: 'a text', error: 'a text' })
  expect(jsonOf((log) => log.error(null))).toMatchObject({ message: 'null', error: 'null' })
})

test('events below the level are left out', () => {
  const { log, lines } = logTo(false, 'warn')
  log.info('not this')
  log.warn('this')
  log.error(new Error('and this'))
  expect(lines.map((line) => JSON.parse(line).message)).toEqual(['this', 'and this'])
})

test('a terminal shows the time, the words and the fields', () => {
  const line = readableOf((log) =>
    log.info('kvist serves', { url: 'http://localhost:1', data: 'my data', n: 3 }),
  )
  expect(line).toMatch(/^\d\d:\d\d:\d\d kvist serves url=http:\/\/localhost:1 data="my data" n=3\n$/)
})

test('a terminal shows an error with each cause a step further in', () => {
  const line = readableOf((log) =>
    log.error(new KvistError('storage_failed', 'the log cannot be written', {}, new TypeError('bad handle'))),
  )
  const [first, second, third, fourth, fifth] = line.split('\n')
  expect(first).toEndWith(' the log cannot be written')
  expect(second).toBe('  KvistError storage_failed')
  expect(third).toBe('  because: bad handle')
  expect(fourth).toBe('    TypeError')
  expect(fifth).toStartWith('    at ')
})

test('what clients send cannot move the cursor of a terminal', () => {
  const line = readableOf((log) => log.info('GET /\u001b[2J\u009b', { path: '/\u001b[1A\r\n\u009b' }))
  expect(line).toEndWith(' GET /\\u001b[2J\\u009b path="/\\u001b[1A\\r\\n\\u009b"\n')
})
