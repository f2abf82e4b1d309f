import { expect, test } from 'bun:test'
import { addressText, parseRedisUrl } from './servers.ts'

test('a URL names servers, with their ports or the usual one', () => {
  expect(parseRedisUrl('redis://a:7000,b.example,127.0.0.1:7002,[::1]:7003,[fe80::1]')).toEqual({
    servers: [
      { host: 'a', port: 7000 },
      { host: 'b.example', port: 6379 },
      { host: '127.0.0.1', port: 7002 },
      { host: '::1', port: 7003 },
      { host: 'fe80::1', port: 6379 },
    ],
    isTls: false,
    user: null,
  })
})

test('rediss and valkeys are TLS; a user may stand before the servers', () => {
  expect(parseRedisUrl('rediss://kv%20ist@a/')).toEqual({
    servers: [{ host: 'a', port: 6379 }],
    isTls: true,
    user: 'kv ist',
  })
  expect(parseRedisUrl('valkeys://a').isTls).toBe(true)
  expect(parseRedisUrl('valkey://a').isTls).toBe(false)
})

test.each([
  ['redis://', 'where host:port is expected'],
  ['redis://a,', 'where host:port is expected'],
  ['redis://a:0', 'where host:port is expected'],
  ['redis://a:65536', 'where host:port is expected'],
  ['redis://::1', 'where host:port is expected'],
  ['redis://a b', 'where host:port is expected'],
  ['redis://a/0', 'without a path'],
  ['redis://a?db=1', 'without a path'],
  ['http://a', 'is not redis://'],
  ['redis:a', 'is not redis://'],
  ['redis://user:secret@a', 'must not contain a password'],
  ['redis://:secret@a', 'must not contain a password'],
  ['redis://@a', 'empty user name'],
  ['redis://%ff@a', 'percent-encoded'],
])('%s is refused', (url, why) => {
  expect(() => parseRedisUrl(url)).toThrow(why)
  try {
    parseRedisUrl(url)
  } catch (error) {
    expect(String(error)).not.toContain('secret')
  }
})

test('an address is written as people write it', () => {
  expect(addressText({ host: 'a', port: 1 })).toBe('a:1')
  expect(addressText({ host: '::1', port: 1 })).toBe('[::1]:1')
})
