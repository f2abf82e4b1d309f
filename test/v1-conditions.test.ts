import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { Stored } from '../sdk/types.ts'
import { type BindingHeader, bindingHeaders, honours } from '../src/http/binding-headers.ts'
import type { Route } from '../src/http/route.ts'
import { type InProcessServer, startInProcess } from './support/in-process.ts'
import { expectProblem, jsonOf, nothingStoredCheck, put } from './support/responses.ts'

/** What a client says under which condition it wants something is honoured or refused, never ignored. */

let server: InProcessServer
beforeAll(async () => {
  server = await startInProcess()
})
afterAll(() => server.stop())

const values: Readonly<Record<BindingHeader, string>> = {
  'if-match': '"999999"',
  'if-none-match': '"999999"',
  'if-modified-since': 'Sun, 06 Nov 1994 08:49:37 GMT',
  'if-unmodified-since': 'Sun, 06 Nov 1994 08:49:37 GMT',
  'if-range': '"999999"',
  'content-range': 'bytes 0-1/2',
  'idempotency-key': '"a-key"',
}

/** The displayed name of a header: `If-Match`. */
function display(name: string): string {
  return name.replace(/(^|-)[a-z]/g, (letter) => letter.toUpperCase())
}

function send(route: Pick<Route, 'method' | 'path'>, headers: Record<string, string>): Promise<Response> {
  const path = route.path.replace(/:collection|:resource/, 'bound').replace(/:\w+|\*/g, 'k')
  const hasBody = !['GET', 'HEAD', 'OPTIONS', 'DELETE'].includes(route.method)
  return fetch(server.url + path, {
    method: route.method,
    headers,
    ...(hasBody ? { body: '{"id":"k"}' } : {}),
  })
}

describe('on every route', () => {
  test('what is not honoured is refused, by name, and nothing is done', async () => {
    await put(`${server.url}/v1/bound/k`, '1')
    const expectNothingStored = await nothingStoredCheck(`${server.url}/v1/other/k`)
    let refused = 0
    for (const route of server.routes) {
      for (const name of bindingHeaders.filter((one) => !honours(route, one))) {
        const where = `${route.method} ${route.path} ${name}`
        const response = await send(route, { [name]: values[name], 'content-type': 'application/json' })
        const text = route.method === 'HEAD' ? display(name) : await response.text()
        expect([where, response.status]).toEqual([where, 400])
        // The dialect `keys` has one text for all bad requests.
        const says = route.path.startsWith('/dialects/keys') ? 'Bad request' : display(name)
        expect(`${where} ${text}`).toContain(says)
        refused++
      }
    }
    expect(refused).toBeGreaterThan(100)
    await expectNothingStored()
    expect(await (await fetch(`${server.url}/v1/bound/k`)).text()).toBe('1')
  })

  test('reading routes take what only allows a shorter response', async () => {
    for (const route of server.routes.filter(({ method }) => method === 'GET')) {
      for (const name of bindingHeaders.filter(
        (one) => honours(route, one) && !one.startsWith('if-unmodified'),
      )) {
        if (name === 'if-match') continue
        const response = await send(route, { [name]: values[name] })
        // 501: what only another engine can do.
        expect([route.path, name, [200, 404, 422, 400, 501].includes(response.status)]).toEqual([
          route.path,
          name,
          true,
        ])
        expect(await response.text()).not.toContain('cannot be honoured')
      }
    }
  })
})

describe('what dropped and replaced data before', () => {
  const requests: [method: string, path: string, header: BindingHeader, body?: string, type?: string][] = [
    ['DELETE', '/v1/all', 'if-match'],
    ['DELETE', '/v1/all?prefix=a', 'if-unmodified-since'],
    ['DELETE', '/v1/all', 'if-none-match'],
    ['DELETE', '/v1/all', 'if-modified-since'],
    ['POST', '/v1/_batch', 'if-match', '{"operations":[{"op":"delete","collection":"all","key":"a"}]}'],
    ['POST', '/v1/all', 'if-none-match', '{"key":"a","value":2}', 'application/x-ndjson'],
    ['POST', '/v1/all', 'if-match', '2'],
    ['PUT', '/v1/_collections/all', 'if-unmodified-since', '{"default_ttl":1}'],
    ['DELETE', '/v1/_collections/all', 'if-unmodified-since'],
    ['PUT', '/v1/all/a', 'if-modified-since', '2'],
    ['PUT', '/v1/all/a', 'content-range', '2'],
    ['PUT', '/v1/all/a', 'if-range', '2'],
    ['POST', '/v1/all', 'content-range', '2'],
    ['POST', '/v1/all', 'content-range', '{"key":"a","value":2}', 'application/x-ndjson'],
    ['PATCH', '/v1/all/a', 'content-range', '2', 'application/merge-patch+json'],
    ['PATCH', '/v1/all/a', 'if-modified-since', '2', 'application/merge-patch+json'],
    ['DELETE', '/dialects/ozza/all', 'if-match'],
    ['PUT', '/dialects/ozza/all', 'if-match', '{"id":"a"}'],
    ['DELETE', '/dialects/minstore/text/a', 'if-match'],
    ['DELETE', '/dialects/tenantbase/delete-value?key=a', 'if-match'],
  ]
  for (const [method, path, header, body, type = 'application/json'] of requests) {
    test(`${method} ${path} with ${header} is refused`, async () => {
      await put(`${server.url}/v1/all/a`, '1')
      const before = (await fetch(`${server.url}/v1/all/a`)).headers.get('etag')
      const headers = { [header]: values[header], 'content-type': type }
      const init = { method, headers, ...(body === undefined ? {} : { body }) }
      const response = await fetch(server.url + path, init)
      expect(response.status).toBe(400)
      expect(await response.text()).toContain(display(header))
      const after = await fetch(`${server.url}/v1/all/a`)
      expect([after.headers.get('etag'), await after.text()]).toEqual([before, '1'])
    })
  }
})

/** A time as a header has it, so many seconds from another. */
function httpDate(ms: number, seconds = 0): string {
  return new Date(ms + seconds * 1000).toUTCString()
}

let members = 0
/** A new member and what is known of it. */
async function stored(): Promise<{ url: string; etag: string; other: string; writtenMs: number }> {
  const url = `${server.url}/v1/members/${++members}`
  const { revision, updated_at } = await jsonOf<Stored>(put(url, '{"n":1}'))
  return { url, etag: `"${revision}"`, other: `"${revision + 1000}"`, writtenMs: Date.parse(updated_at) }
}

const patchType = 'application/merge-patch+json'

const writes: [name: string, write: (url: string, headers: Record<string, string>) => Promise<Response>][] = [
  ['PUT', (url, headers) => put(url, '{"n":2}', headers)],
  [
    'PATCH',
    (url, headers) =>
      fetch(url, { method: 'PATCH', body: '{"n":2}', headers: { 'content-type': patchType, ...headers } }),
  ],
  ['DELETE', (url, headers) => fetch(url, { method: 'DELETE', headers })],
]

describe.each(writes)('%s', (_name, write) => {
  test('goes ahead where the conditions hold', async () => {
    const conditions: ((member: Awaited<ReturnType<typeof stored>>) => Record<string, string>)[] = [
      ({ writtenMs }) => ({ 'if-unmodified-since': httpDate(writtenMs, 1) }),
      ({ writtenMs }) => ({ 'if-unmodified-since': httpDate(writtenMs, 5) }),
      // If-Match goes before it (RFC 9110, 13.2.2).
      ({ etag, writtenMs }) => ({ 'if-match': etag, 'if-unmodified-since': httpDate(writtenMs, -60) }),
      ({ etag, other }) => ({ 'if-match': `, ${other},, W/${etag} ,` }),
      ({ other, writtenMs }) => ({ 'if-none-match': other, 'if-unmodified-since': httpDate(writtenMs, 1) }),
      () => ({ 'if-none-match': '"*"' }),
      () => ({ 'if-match': '*' }),
    ]
    for (const condition of conditions) {
      const member = await stored()
      const headers = condition(member)
      const { status } = await write(member.url, headers)
      expect([headers, status === 200 || status === 204]).toEqual([headers, true])
    }
  })

  test('is 412 where one does not hold, and nothing is done', async () => {
    const conditions: ((member: Awaited<ReturnType<typeof stored>>) => Record<string, string>)[] = [
      ({ writtenMs }) => ({ 'if-unmodified-since': httpDate(writtenMs, -1) }),
      // Another write of that second may have followed what the client has seen.
      ({ writtenMs }) => ({ 'if-unmodified-since': httpDate(writtenMs) }),
      () => ({ 'if-unmodified-since': 'Sunday, 06-Nov-94 08:49:37 GMT' }),
      () => ({ 'if-unmodified-since': 'Sun Nov  6 08:49:37 1994' }),
      ({ other, writtenMs }) => ({ 'if-match': other, 'if-unmodified-since': httpDate(writtenMs, 60) }),
      ({ etag, writtenMs }) => ({ 'if-none-match': etag, 'if-unmodified-since': httpDate(writtenMs) }),
      () => ({ 'if-match': '"*"' }),
      ({ etag }) => ({ 'if-none-match': `"x",,${etag},` }),
      () => ({ 'if-none-match': '*' }),
    ]
    for (const condition of conditions) {
      const member = await stored()
      await expectProblem(await write(member.url, condition(member)), 412, 'precondition_failed')
      const now = await fetch(member.url)
      expect([now.headers.get('etag'), await now.text()]).toEqual([member.etag, '{"n":1}'])
    }
  })

  test('is 412 with a condition on what is not there', async () => {
    for (const headers of [
      { 'if-unmodified-since': httpDate(Date.now(), 3600) },
      { 'if-match': '*' },
    ] as Record<string, string>[]) {
      const url = `${server.url}/v1/members/none-${++members}`
      await expectProblem(await write(url, headers), 412, 'precondition_failed')
      expect((await fetch(url)).status).toBe(404)
    }
  })

  test('is 400 with a condition that is none', async () => {
    const member = await stored()
    const wrong: Record<string, string>[] = [
      { 'if-unmodified-since': 'yesterday' },
      { 'if-unmodified-since': '' },
      { 'if-unmodified-since': '2030-01-01T00:00:00Z' },
      { 'if-unmodified-since': 'Mon, 31 Feb 2028 08:49:37 GMT' },
      { 'if-match': '' },
      { 'if-match': ',' },
      { 'if-match': '*, "1"' },
      { 'if-none-match': '12' },
    ]
    for (const headers of wrong) {
      await expectProblem(await write(member.url, headers), 400, 'invalid_request')
      expect((await fetch(member.url)).headers.get('etag')).toBe(member.etag)
    }
  })
})

describe.each(['GET', 'HEAD'])('%s', (method) => {
  test('evaluates the conditions in the order of RFC 9110', async () => {
    const { url, etag, other, writtenMs } = await stored()
    const before = httpDate(writtenMs, -60)
    const then = httpDate(writtenMs, 1)
    const cases: [Record<string, string>, number][] = [
      [{ 'if-match': etag }, 200],
      [{ 'if-match': '*' }, 200],
      [{ 'if-match': `,${other}, W/${etag}` }, 200],
      [{ 'if-match': other }, 412],
      [{ 'if-match': '"*"' }, 412],
      [{ 'if-unmodified-since': then }, 200],
      [{ 'if-unmodified-since': before }, 412],
      [{ 'if-match': etag, 'if-unmodified-since': before }, 200],
      [{ 'if-match': other, 'if-unmodified-since': then }, 412],
      [{ 'if-match': etag, 'if-none-match': etag }, 304],
      [{ 'if-match': other, 'if-none-match': etag }, 412],
      [{ 'if-unmodified-since': before, 'if-none-match': etag }, 412],
      [{ 'if-unmodified-since': then, 'if-none-match': etag }, 304],
      [{ 'if-none-match': `"x", ,${etag}` }, 304],
      [{ 'if-none-match': '*' }, 304],
      [{ 'if-none-match': '"*"' }, 200],
      [{ 'if-none-match': other }, 200],
      [{ 'if-modified-since': before }, 200],
      [{ 'if-none-match': other, 'if-modified-since': httpDate(writtenMs, 60) }, 200],
      [{ 'if-match': other, 'if-modified-since': before }, 412],
      // A date that is none is no condition here: the whole is never wrong to send.
      [{ 'if-modified-since': 'yesterday' }, 200],
      [{ 'if-unmodified-since': 'yesterday' }, 400],
      [{ 'if-match': '12' }, 400],
    ]
    for (const [headers, status] of cases) {
      const response = await fetch(url, { method, headers })
      expect([headers, response.status]).toEqual([headers, status])
      if (status === 200 || status === 304) expect(response.headers.get('etag')).toBe(etag)
      else if (status === 412 && method === 'GET') {
        expect(await expectProblem(response, 412, 'precondition_failed')).toMatchObject({
          revision: Number(etag.slice(1, -1)),
        })
      }
    }
  })

  test('of what is not there is 404 whatever the conditions are, unless they are none', async () => {
    const url = `${server.url}/v1/members/nothing`
    for (const headers of [
      { 'if-match': '*' },
      { 'if-match': '"1"' },
      { 'if-none-match': '*' },
      { 'if-unmodified-since': httpDate(0) },
    ] as Record<string, string>[]) {
      expect((await fetch(url, { method, headers })).status).toBe(404)
    }
    for (const headers of [
      { 'if-match': 'x' },
      { 'if-none-match': '' },
      { 'if-unmodified-since': 'x' },
    ] as Record<string, string>[]) {
      expect((await fetch(url, { method, headers })).status).toBe(400)
    }
  })
})

test('a watch refuses conditions on a state', async () => {
  const { url, etag } = await stored()
  for (const headers of [{ 'if-match': etag }, { 'if-unmodified-since': httpDate(Date.now()) }] as Record<
    string,
    string
  >[]) {
    const accept = { accept: 'text/event-stream', ...headers }
    await expectProblem(await fetch(url, { headers: accept }), 400, 'invalid_request')
  }
})

test('what was written at the very beginning of a second is no older than that second', async () => {
  const nowMs = 1_800_000_000_000
  const own = await startInProcess(() => nowMs)
  try {
    const url = `${own.url}/v1/c/k`
    const dates = { same: new Date(nowMs).toUTCString(), next: new Date(nowMs + 1000).toUTCString() }
    for (const [method, status] of [
      ['PUT', 200],
      ['PATCH', 200],
      ['DELETE', 204],
    ] as const) {
      await put(url, '1')
      const write = (date: string) =>
        fetch(method === 'PATCH' ? `${url}?expire_in=60` : url, {
          method,
          headers: { 'content-type': 'application/json', 'if-unmodified-since': date },
          ...(method === 'PUT' ? { body: '2' } : {}),
        })
      await expectProblem(await write(dates.same), 412, 'precondition_failed')
      expect((await write(dates.next)).status).toBe(status)
    }
  } finally {
    await own.stop()
  }
})

test('a date covers what was written in its second only when that second has come', async () => {
  let nowMs = 1_800_000_000_500
  const own = await startInProcess(() => nowMs)
  try {
    const url = `${own.url}/v1/c/k`
    await put(url, '1')
    const next = new Date(1_800_000_001_000).toUTCString()
    const status = async () => (await fetch(url, { headers: { 'if-modified-since': next } })).status
    expect(await status()).toBe(200)
    await put(url, '2')
    nowMs = 1_800_000_000_999
    expect(await status()).toBe(200)
    nowMs = 1_800_000_001_000
    expect(await status()).toBe(304)
  } finally {
    await own.stop()
  }
})
