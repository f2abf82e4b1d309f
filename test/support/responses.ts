import { expect } from 'bun:test'
import type { Stored } from '../../sdk/types.ts'

/** Checks that a response is a problem document (RFC 9457) of this kind that shows nothing of the inside. */
export async function expectProblem(
  response: Response,
  status: number,
  code: string,
): Promise<Record<string, unknown>> {
  const text = await response.text()
  return checkProblem(
    { status: response.status, type: response.headers.get('content-type'), text },
    status,
    code,
  )
}

/** As `expectProblem`, of a response whose parts were read already. */
export function checkProblem(
  reply: { readonly status: number; readonly type: string | null | undefined; readonly text: string },
  status: number,
  code: string,
): Record<string, unknown> {
  const said = `${reply.status} ${reply.text}`
  expect(said).toStartWith(`${status} {`)
  expect(reply.type).toBe('application/problem+json')
  const problem = JSON.parse(reply.text)
  expect(problem).toMatchObject({ status, code, type: `urn:kvist:${code}` })
  expect(problem.title).toBeString()
  expect(problem.detail).toBeString()
  expect(problem.detail.length).toBeGreaterThan(0)
  // No stack, no path of a source file.
  expect(reply.text).not.toMatch(/\bat \S+ \(|\.ts\b|node_modules/)
  return problem
}

export interface Page {
  readonly members: readonly { readonly key: string; readonly [name: string]: unknown }[]
  readonly next: string | null
}

/** The body of a response that succeeded. Its shape is for the tests to check. */
export async function jsonOf<Shape>(response: Response | Promise<Response>): Promise<Shape> {
  const { status, text } = { status: (await response).status, text: await (await response).text() }
  if (status >= 300) throw new Error(`${status} ${text}`)
  return JSON.parse(text) as Shape
}

/** PUTs a value; without a content type of its own, as JSON. */
export function put(
  url: string,
  body: string | Uint8Array<ArrayBuffer>,
  headers: Readonly<Record<string, string>> = {},
): Promise<Response> {
  return fetch(url, { method: 'PUT', body, headers: { 'content-type': 'application/json', ...headers } })
}

export async function membersIn(url: string, query = ''): Promise<Page['members']> {
  return (await jsonOf<Page>(fetch(`${url}${query}`))).members
}

/**
 * Gives a check that nothing was stored since now, or since it was asked last: every write takes a revision, so when the
 * next one, to this address, takes the next number, there was none in between.
 */
export async function nothingStoredCheck(url: string): Promise<() => Promise<void>> {
  const nextRevision = async () => (await jsonOf<Stored>(put(url, '1'))).revision
  let revision = await nextRevision()
  return async () => {
    const next = await nextRevision()
    expect(next).toBe(revision + 1)
    revision = next
  }
}

/** Members and bytes of a collection as `GET /v1` counts them; null for one that has none. */
export async function countsOf(
  serverUrl: string,
  name: string,
): Promise<{ members: number; bytes: number } | null> {
  const { collections } = await jsonOf<{ collections: { name: string; members: number; bytes: number }[] }>(
    fetch(`${serverUrl}/v1`),
  )
  const found = collections.find((one) => one.name === name)
  return found === undefined ? null : { members: found.members, bytes: found.bytes }
}

/** Every byte there is, in an order that no text has. */
export const allBytes = Uint8Array.from({ length: 1024 }, (_, i) => (i * 167 + (i >> 8)) & 0xff)

/** JSON as people write it, which parsing and writing anew would change. */
export const oddJson: readonly string[] = [
  '{\n  "a" : 1.0,\r\n\t"b": [ 1e400, -0, 0.10, 1E+2 ]\n}\n',
  '12345678901234567890',
  '0.1000000000000000055511151231257827',
  '-1.0e-400',
  '"\\ud800 \\u0000 \\u00e9 é \\/ \u2028 \u{1f600}"',
  '{"a":1,"a":2,"__proto__":{"x":1},"constructor":null,"":0}',
  ' null ',
  'true',
  '""',
  '[]',
  '[[[[[[]]]]]]',
  `{"${'k'.repeat(5000)}":"${'é'.repeat(5000)}"}`,
]
