import { afterAll, beforeAll, expect, test } from 'bun:test'
import { msToStamp } from '../src/core/clock.ts'
import { type InProcessServer, startInProcess } from './support/in-process.ts'

/** With `include=all` nothing of a member is lost on its way to another store. */

const noonMs = Date.UTC(2026, 5, 1, 12)
let server: InProcessServer

beforeAll(async () => {
  server = await startInProcess(() => noonMs)
  const content = { contentType: 'application/json', expiresAtMs: noonMs + 86_400_123 }
  await server.db.put('c', 'here', { value: '1', flags: 7, ...content })
  await server.db.replicate([
    {
      ...{ op: 'put', collection: 'c', key: 'there', value: '{"a": 1.0}', flags: 2 ** 32 - 1, ...content },
      origin: { clock: msToStamp(noonMs) + 5, node: 'n1', createdAtMs: noonMs - 1 },
    },
    {
      ...{ op: 'delete', collection: 'c', key: 'gone', cause: 'expire' },
      origin: { clock: msToStamp(noonMs) + 6, node: 'n2' },
    },
  ])
})
afterAll(() => server.stop())

async function textOf(path: string, accept = 'application/json'): Promise<string> {
  return (await fetch(`${server.url}/v1/${path}`, { headers: { accept } })).text()
}

function here(): string {
  const times = '"created_at":"2026-06-01T12:00:00.000Z","updated_at":"2026-06-01T12:00:00.000Z"'
  const rest = '"expires_at":"2026-06-02T12:00:00.123Z","content_type":"application/json","flags":7'
  return `"value":1,"revision":1,${times},${rest},"origin":{"node":"${server.db.nodeId}","clock":${msToStamp(noonMs)}}`
}

function there(): string {
  const times = '"created_at":"2026-06-01T11:59:59.999Z","updated_at":"2026-06-01T12:00:00.000Z"'
  const rest = '"expires_at":"2026-06-02T12:00:00.123Z","content_type":"application/json","flags":4294967295'
  return `"value":{"a": 1.0},"revision":2,${times},${rest},"origin":{"node":"n1","clock":${msToStamp(noonMs) + 5}}`
}

test('a list shows flags and origin, of what was written here with the id of this node', async () => {
  const members = `{"key":"here",${here()}},{"key":"there",${there()}}`
  expect(await textOf('c?include=all')).toBe(`{"members":[${members}],"next":null}\n`)
  expect(await textOf('c?include=all', 'application/x-ndjson')).toBe(`${members.replace('},{', '}\n{')}\n`)
})

test('the feed shows flags and origin, of what is gone too', async () => {
  const since = (value: string) => value.replace(/"value":(.*),"revision":\d+/, '"value":$1')
  const changes = [
    `{"revision":1,"type":"put","collection":"c","key":"here",${since(here())}}`,
    `{"revision":2,"type":"put","collection":"c","key":"there",${since(there())}}`,
    `{"revision":3,"type":"expire","collection":"c","key":"gone","origin":{"node":"n2","clock":${msToStamp(noonMs) + 6}}}`,
  ]
  expect(await textOf('_changes?include=all')).toBe(`{"changes":[${changes.join(',')}],"next":3}\n`)
})

test('elsewhere neither is shown', async () => {
  for (const path of ['c', 'c?include=values', 'c?include=keys', '_changes', 'c/there']) {
    expect(await textOf(path)).not.toContain('origin')
  }
  expect(await textOf('_changes')).not.toContain('flags')
})
