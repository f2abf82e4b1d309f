import { expect, test } from 'bun:test'
import { requestOf } from '../../test/support/connection.ts'
import { forwardedHeaders, forwardedTarget, passedHeaders } from './forward.ts'

test.each([
  ['/v1/c/a%2Fb?x=%41&y', '/v1/c/a%2Fb?x=%41&y'],
  ['/v1/c/a/b', '/v1/c/a/b'],
  ['/v1/c/a.b/..c', '/v1/c/a.b/..c'],
  ['/v1/c/a\\b', '/v1/c/a%5Cb'],
  ['/v1/c/..', '/v1/c%2F..'],
  ['/v1/c/%2e', '/v1/c%2F%2e'],
  ['/v1/c/a/../b', '/v1/c/a%2F..%2Fb'],
  ['/v1/c/./b', '/v1/c/.%2Fb'],
])('the target %s is passed on as %s, which a URL parser keeps', (target, passed) => {
  const found = forwardedTarget(requestOf(`GET ${target} HTTP/1.1`))
  expect(found).toBe(passed)
  const { pathname, search } = new URL(`http://x${found}`)
  expect(pathname + search).toBe(passed)
})

test.each(['/docs/../v1', '/..', '/v1/../c/k', '/v1/%2e%2E/k'])('the target %s is refused', (target) => {
  expect(() => forwardedTarget(requestOf(`GET ${target} HTTP/1.1`))).toThrow('cannot be passed on')
})

test('headers of the connection, of the page and of the host stay behind; the gateway is added to Via', () => {
  const request = requestOf(
    'GET /v1/c/k HTTP/1.1',
    'Connection: close, X-Own',
    'X-Own: 1',
    'Keep-Alive: 5',
    'TE: trailers',
    'Origin: http://127.0.0.1:1',
    'Sec-Fetch-Site: same-origin',
    'Authorization: Bearer t',
    'Via: 1.0 before',
    'X-Other: 2',
  )
  expect(forwardedHeaders(request, '1.1 kvist-x')).toEqual([
    ['authorization', 'Bearer t'],
    ['x-other', '2'],
    ['accept-encoding', 'identity'],
    ['via', '1.0 before, 1.1 kvist-x'],
  ])
})

test('headers of responses are passed back, without those of the connection and of other pages', () => {
  const headers = new Headers({
    etag: '"1"',
    vary: 'Origin, Accept',
    connection: 'x-own',
    'x-own': '1',
    'transfer-encoding': 'chunked',
    'access-control-allow-origin': '*',
    'www-authenticate': 'Bearer',
  })
  const block = passedHeaders(headers, (name) => name === 'age')
  expect(block.split('\r\n').toSorted()).toEqual([
    '',
    'ETag: "1"',
    'Vary: Accept',
    'WWW-Authenticate: Bearer',
  ])
})
