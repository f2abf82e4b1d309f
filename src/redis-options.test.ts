import { afterAll, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseConfig } from './config.ts'
import { UsageError } from './options.ts'
import { redisOptionsOf } from './redis-options.ts'

const folder = mkdtempSync(join(tmpdir(), 'kvist-redis-options-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function file(name: string, text: string): string {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}

function optionsOf(args: readonly string[], env: Record<string, string> = {}) {
  return redisOptionsOf(parseConfig(args, env))
}

test('another engine has no Redis options', () => {
  expect(optionsOf([])).toBeNull()
  expect(optionsOf(['--engine', 'memory'])).toBeNull()
  // Environment variables may be set for the whole machine.
  expect(optionsOf([], { KVIST_REDIS_PASSWORD: 'x', KVIST_REDIS_LINES: '4' })).toBeNull()
})

test('a URL alone means the defaults', () => {
  expect(optionsOf(['--engine', 'redis://a:7000,b'])).toEqual({
    servers: [
      { host: 'a', port: 7000 },
      { host: 'b', port: 6379 },
    ],
    user: null,
    password: null,
    tls: null,
    timeoutMs: 2000,
    patienceMs: 10_000,
    replicas: 0,
    replicasTimeoutMs: 1000,
    prefix: 'kvist',
    lines: null,
    placement: 'spread',
  })
})

test('all can be given, secrets by file', () => {
  const flags = [
    ...['--engine', 'rediss://kvist@a', '--redis-password-file', file('password', 'se same\r\n')],
    ...[
      '--redis-ca',
      file('ca', 'CA'),
      '--redis-cert',
      file('cert', 'CERT'),
      '--redis-key',
      file('key', 'KEY'),
    ],
    ...['--redis-prefix', 'shop:1', '--redis-lines', '64', '--redis-placement', 'collection'],
    ...[
      '--redis-wait',
      '2',
      '--redis-wait-timeout',
      '300ms',
      '--redis-timeout',
      '1',
      '--redis-patience',
      '1m',
    ],
  ]
  expect(optionsOf(flags)).toEqual({
    servers: [{ host: 'a', port: 6379 }],
    user: 'kvist',
    password: 'se same',
    tls: { ca: 'CA', client: { cert: 'CERT', key: 'KEY' } },
    timeoutMs: 1000,
    patienceMs: 60_000,
    replicas: 2,
    replicasTimeoutMs: 300,
    prefix: 'shop:1',
    lines: 64,
    placement: 'collection',
  })
  expect(optionsOf([], { KVIST_ENGINE: 'redis://u@a', KVIST_REDIS_PASSWORD: 'p' })).toMatchObject({
    user: 'u',
    password: 'p',
  })
})

const redis = ['--engine', 'redis://a']

test.each([
  [['--engine', 'redis://a,'], 'the URL of --engine has "" where host:port is expected'],
  [['--engine', 'redis://u:secret@a'], 'the URL of --engine must not contain a password: give it by file'],
  [['--engine', 'redis://u@a'], 'needs a password: --redis-password-file'],
  [['--redis-lines', '4'], '--redis-lines is for servers of Redis: say --engine redis://host:port'],
  [['--redis-wait=1', '--engine', 'memory'], '--redis-wait is for servers of Redis'],
  [[...redis, '--redis-lines', '0'], '--redis-lines must be a whole number from 1 to 1024'],
  [[...redis, '--redis-placement', 'hash'], '--redis-placement must be spread or collection'],
  [[...redis, '--redis-prefix', 'a{b}'], '--redis-prefix must be 1 to 64 letters, digits, or . _ : -'],
  [[...redis, '--redis-prefix', ''], '--redis-prefix'],
  [[...redis, '--redis-ca', 'x'], 'are for servers with TLS: say --engine rediss://host:port'],
  [['--engine', 'rediss://a', '--redis-cert', 'x'], '--redis-cert needs its private key: --redis-key'],
  [['--engine', 'rediss://a', '--redis-key', 'x'], '--redis-key needs its certificate: --redis-cert'],
  [
    [...redis, '--redis-password-file', join(folder, 'nothing')],
    'nothing of --redis-password-file cannot be read: ENOENT',
  ],
  [[...redis, '--redis-password-file', file('empty', '\n')], 'must hold a password in one line'],
  [[...redis, '--redis-password-file', file('two', 'a\nb\n')], 'must hold a password in one line'],
  [[...redis, '--data', 'd'], '--data is for the engine sqlite: leave it out, or the URL of --engine'],
  [[...redis, '--sqlite-pages=off'], '--sqlite-pages is for the engine sqlite'],
  [[...redis, '--new-node-id'], '--new-node-id is for the engine sqlite'],
  [[...redis, '--cache-bytes', '1'], 'has no read cache: leave out --cache-bytes'],
])('%j is refused', (args, why) => {
  let error: unknown
  try {
    optionsOf(args)
  } catch (thrown) {
    error = thrown
  }
  expect(error).toBeInstanceOf(UsageError)
  expect((error as Error).message).toContain(why)
  expect((error as Error).message).not.toContain('secret')
})

test('a password may come from one place only', () => {
  const args = [...redis, '--redis-password-file', file('password', 'x')]
  expect(() => optionsOf(args, { KVIST_REDIS_PASSWORD: 'y' })).toThrow('contradict each other')
})
