import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { checkProblem } from './support/responses.ts'
import { newFolder, runServe, startServer, type TestServer } from './support/server.ts'

const noQuota = '"max_members":null,"max_bytes":null,"max_value_bytes":null,"schema":null,"indexes":[]'
const files = join(import.meta.dir, 'support/processes')

function configFile(content: string, name = 'kvist.config.ts'): string {
  const path = join(newFolder(), name)
  writeFileSync(path, content)
  return path
}

let server: TestServer

async function ask(method: string, path: string, body?: string, headers: Record<string, string> = {}) {
  const response = await fetch(server.url + path, {
    method,
    headers,
    ...(body === undefined ? {} : { body }),
  })
  return { status: response.status, text: await response.text(), type: response.headers.get('content-type') }
}

async function put(path: string, body: string): Promise<string> {
  const { status, text } = await ask('PUT', path, body)
  return status < 300 ? String(status) : `${status} ${JSON.parse(text).detail}`
}

async function value(path: string): Promise<string> {
  const { status, text } = await ask('GET', path)
  return status === 200 ? text : String(status)
}

async function set(collection: string, settings: unknown): Promise<void> {
  const { status, text } = await ask('PUT', `/v1/_collections/${collection}`, JSON.stringify(settings))
  expect(`${status} ${text}`).toStartWith('200 ')
}

describe('processes of a configuration file', () => {
  beforeAll(async () => {
    const config = configFile(`export default {
      processes: [${JSON.stringify(join(files, 'trouble.ts'))}],
      collections: {
        loud: { processes: ['mark', ${JSON.stringify(join(files, 'shout.ts'))}] },
        trouble: { processes: ['mark', 'trouble'] },
        brief: { default_ttl: '1h' },
      },
    }`)
    server = await startServer({
      flags: ['--config', config, '--memcached-port', '0', '--memcached-collection', 'loud'],
    })
  })
  afterAll(() => server.remove())

  test('run in their order, on every way to write', async () => {
    const loud = '"HELLO (MARKED)."'
    expect(await put('/v1/loud/put', '"hello"')).toBe('201')
    expect(await value('/v1/loud/put')).toBe(loud)
    const post = await ask('POST', '/v1/loud', '"hello"')
    expect(await value(`/v1/loud/${JSON.parse(post.text).key}`)).toBe(loud)
    await ask('POST', '/v1/loud', '{"key":"bulk","value":"hello"}', {
      'content-type': 'application/x-ndjson',
    })
    expect(await value('/v1/loud/bulk')).toBe(loud)
    const operations = [{ op: 'put', collection: 'loud', key: 'batch', value: 'hello' }]
    expect((await ask('POST', '/v1/_batch', JSON.stringify({ operations }))).status).toBe(200)
    expect(await value('/v1/loud/batch')).toBe(loud)
    expect((await ask('PUT', '/v1/loud/put', '"anew"', { 'if-match': '*' })).status).toBe(200)
    expect(await value('/v1/loud/put')).toBe('"ANEW (MARKED)."')
    expect((await ask('PUT', '/dialects/ozza/loud', '{"id":"ozza","value":"hello"}')).text).toContain(
      'hello (Marked).',
    )
    // Other collections are as ever.
    expect(await put('/v1/quiet/a', '"hello"')).toBe('201')
    expect(await value('/v1/quiet/a')).toBe('"hello"')
  })

  test('do not run again on a value that stays what it is', async () => {
    await set('marked', { processes: ['mark'] })
    const reported = '{"id":"a","value":"x (Marked)."}'
    await ask('PUT', '/dialects/ozza/marked', '{"id":"a","value":"x"}')
    expect(await value('/v1/marked/a')).toBe(reported)
    await ask('PUT', '/dialects/ozza/marked?expire_in=5', '{"id":"a"}')
    expect(await value('/v1/marked/a')).toBe(reported)
    expect((await fetch(`${server.url}/v1/marked/a`)).headers.get('kvist-expires-at')).not.toBeNull()
  })

  test('memcached writes go through them as well', async () => {
    const { memcached } = JSON.parse(
      server
        .output()
        .split('\n')
        .find((line) => line.includes('"memcached"')) ?? '{}',
    )
    const port = Number(String(memcached).split(':').at(-1))
    const said = await new Promise<string>((resolve, reject) => {
      const socket = connect(port, '127.0.0.1', () => socket.write('set m 0 0 7\r\n"hello"\r\n'))
      socket.once('data', (part) => {
        resolve(String(part))
        socket.destroy()
      })
      socket.once('error', reject)
    })
    // memcached stores bytes; shout takes JSON only, and so fails on them.
    expect(said).toMatch(/^SERVER_ERROR|^CLIENT_ERROR|^NOT_STORED/)
    expect(await value('/v1/loud/m')).toBe('404')
  })

  test('a refusal stores nothing, and names the process and its reason', async () => {
    const reply = await ask('PUT', '/v1/loud/no', '"rude"')
    // mark comes first, so that shout sees another text.
    expect(reply.status).toBe(201)
    await set('rude', { processes: ['shout'] })
    const refused = checkProblem(await ask('PUT', '/v1/rude/no', '"rude"'), 422, 'unprocessable')
    expect(refused).toMatchObject({
      process: 'shout',
      detail: 'the process shout refused "no": that is rude',
    })
    expect(await value('/v1/rude/no')).toBe('404')
  })

  test('a line that is refused stops no import', async () => {
    await set('lines', { processes: ['shout'] })
    const lines = ['"a"', '"rude"', '"c"', '{', '"rude"'].map((json, i) => `{"key":"${i}","value":${json}}`)
    const { text } = await ask('POST', '/v1/lines', lines.join('\n'), {
      'content-type': 'application/x-ndjson',
    })
    const summary = JSON.parse(text)
    expect(summary.stored).toBe(2)
    expect(summary.failed).toEqual([
      { line: 2, code: 'unprocessable', detail: 'the process shout refused "1": that is rude' },
      { line: 4, code: 'invalid_json', detail: 'the line is not JSON' },
      { line: 5, code: 'unprocessable', detail: 'the process shout refused "4": that is rude' },
    ])
    expect(await value('/v1/lines/2')).toBe('"C"')
  })

  test('one member of a batch that is refused keeps out the others', async () => {
    await set('all', { processes: ['shout'] })
    const operations = ['fine', 'rude'].map((text) => ({
      op: 'put',
      collection: 'all',
      key: text,
      value: text,
    }))
    checkProblem(await ask('POST', '/v1/_batch', JSON.stringify({ operations })), 422, 'unprocessable')
    expect(await value('/v1/all/fine')).toBe('404')
    await set('keys', { processes: ['shout'] })
    const keys = await ask('PUT', '/dialects/keys/keys', '{"a":"fine","b":"rude"}')
    expect(`${keys.status} ${keys.text}`).toBe(
      '422 {"error":"the process shout refused \\"b\\": that is rude"}',
    )
    expect((await ask('GET', '/dialects/keys/keys')).text).toBe('{"response":[]}')
  })

  test('an increment goes through them, and on from what they made', async () => {
    await set('counted', { processes: ['mark'] })
    const operations = [{ op: 'increment', collection: 'counted', key: 'n', path: '/value', by: 1 }]
    await ask('POST', '/v1/_batch', JSON.stringify({ operations }))
    await ask('POST', '/v1/_batch', JSON.stringify({ operations }))
    expect(await value('/v1/counted/n')).toBe('{"value":2}')
  })

  const failing = [
    'throw',
    'text',
    'reject',
    'number',
    'broken',
    'half',
    'bytes',
    'time',
    'uncloneable',
    'exit',
  ] as const
  test.each(failing)(
    'one that fails (%s) responds 422 with its name, stores nothing, and the server goes on',
    async (how) => {
      await set('failing', { processes: ['trouble'] })
      const reply = checkProblem(
        await ask('PUT', `/v1/failing/${how}`, JSON.stringify(how)),
        422,
        'unprocessable',
      )
      expect(reply).toMatchObject({ process: 'trouble', detail: `the process trouble failed on "${how}"` })
      expect(JSON.stringify(reply)).not.toContain('secret')
      expect(await value(`/v1/failing/${how}`)).toBe('404')
      expect(await put('/v1/failing/fine', '"fine"')).toMatch(/^20[01]$/)
      expect(server.output()).toContain(`the process trouble failed on \\"${how}\\" in failing`)
    },
  )

  test('a value that grows beyond the limit is refused', async () => {
    await set('failing', { processes: ['trouble'] })
    expect(await put('/v1/failing/large', '"large"')).toBe(
      '422 the process trouble refused "large": the value became larger than 16777216 bytes',
    )
  })

  test.each(['later', 'unhandled'])('what fails behind its back (%s) ends its thread alone', async (how) => {
    await set('failing', { processes: ['trouble'] })
    await put(`/v1/failing/${how}`, JSON.stringify(how))
    await Bun.sleep(200)
    expect(await put('/v1/failing/fine', '"fine"')).toMatch(/^20[01]$|^422 /)
    expect(await put('/v1/failing/fine', '"fine"')).toMatch(/^20[01]$/)
  })

  test.each(['loop', 'never'])(
    'one that takes for ever (%s) is ended, others are served meanwhile',
    async (how) => {
      await set('failing', { processes: ['trouble'] })
      const stuck = put(`/v1/failing/${how}`, JSON.stringify(how))
      const waiting = put('/v1/failing/behind', '"fine"')
      for (let i = 0; i < 10; i++) {
        expect(await put('/v1/quiet/meanwhile', String(i))).toMatch(/^20[01]$/)
        await Bun.sleep(20)
      }
      expect(await stuck).toBe(`422 the process trouble failed on "${how}"`)
      expect(await waiting).toMatch(/^20[01]$/)
      expect(server.output()).toContain('it took more than 5000 ms')
    },
  )

  test('what the file sets cannot be changed over HTTP', async () => {
    expect((await ask('GET', '/v1/_collections/brief')).text).toBe(
      `{"processes":null,"default_ttl":3600,"sliding":false,${noQuota}}\n`,
    )
    checkProblem(await ask('PUT', '/v1/_collections/brief', '{}'), 409, 'conflict')
    checkProblem(await ask('DELETE', '/v1/_collections/loud'), 409, 'conflict')
    expect((await ask('GET', '/v1/_collections/loud')).text).toBe(
      `{"processes":["mark","shout"],"default_ttl":null,"sliding":false,${noQuota}}\n`,
    )
  })
})

describe('settings over HTTP', () => {
  beforeEach(async () => {
    server = await startServer()
  })
  afterEach(() => server.remove())

  test('are kept in the store: through restarts, and out of sight', async () => {
    expect((await ask('GET', '/v1/_collections/a')).text).toBe(
      `{"processes":null,"default_ttl":null,"sliding":false,${noQuota}}\n`,
    )
    await set('a', { processes: ['mark'], default_ttl: '90s' })
    await set('b', { default_ttl: 0.5 })
    await put('/v1/a/k', '"x"')
    await server.stop()
    const folder = server.dataFolder
    server = await startServer({ dataFolder: folder })
    expect((await ask('GET', '/v1/_collections/a')).text).toBe(
      `{"processes":["mark"],"default_ttl":90,"sliding":false,${noQuota}}\n`,
    )
    expect((await ask('GET', '/v1/_collections/b')).text).toBe(
      `{"processes":null,"default_ttl":0.5,"sliding":false,${noQuota}}\n`,
    )
    await put('/v1/a/after', '"x"')
    expect(await value('/v1/a/after')).toBe('"x (Marked)."')
    const { collections } = JSON.parse((await ask('GET', '/v1')).text)
    expect(collections.map(({ name }: { name: string }) => name)).toEqual(['a'])
    expect((await ask('GET', '/v1/_settings')).status).toBe(400)
    expect((await ask('GET', '/v1/_settings/a')).status).toBe(400)
    expect((await ask('DELETE', '/v1/_collections/a')).status).toBe(204)
    expect((await ask('DELETE', '/v1/_collections/a')).status).toBe(204)
    await put('/v1/a/plain', '"x"')
    expect(await value('/v1/a/plain')).toBe('"x"')
  })

  test('give members without an expiry the default one, whichever way they come', async () => {
    await set('a', { default_ttl: 60 })
    const expiryOf = async (key: string) => {
      const { headers } = await fetch(`${server.url}/v1/a/${key}`)
      return Math.round((Date.parse(headers.get('kvist-expires-at') ?? '') - Date.now()) / 1000)
    }
    const stored = await ask('PUT', '/v1/a/put', '1')
    expect(JSON.parse(stored.text).expires_at).not.toBeNull()
    await ask('PUT', '/v1/a/own?expire_in=600', '1')
    await ask('POST', '/v1/a', '{"key":"line","value":1}', { 'content-type': 'application/x-ndjson' })
    const operations = [
      { op: 'put', collection: 'a', key: 'batch', value: 1 },
      { op: 'increment', collection: 'a', key: 'count' },
      { op: 'increment', collection: 'a', key: 'own' },
    ]
    await ask('POST', '/v1/_batch', JSON.stringify({ operations }))
    await ask('PUT', '/dialects/ozza/a', '{"id":"ozza"}')
    for (const key of ['put', 'line', 'batch', 'count', 'ozza'])
      expect(await expiryOf(key)).toBeWithin(50, 61)
    expect(await expiryOf('own')).toBeWithin(590, 601)
  })
})

describe('settings that are none', () => {
  beforeAll(async () => {
    server = await startServer()
  })
  afterAll(() => server.remove())

  const bad: [body: string, status: number, code: string][] = [
    ['', 400, 'invalid_json'],
    ['{', 400, 'invalid_json'],
    ['[]', 400, 'invalid_request'],
    ['{"sliding":true}', 400, 'invalid_request'],
    ['{"sliding":true,"default_ttl":null}', 400, 'invalid_request'],
    ['{"sliding":1,"default_ttl":5}', 400, 'invalid_request'],
    ['{"sliding":null,"default_ttl":5}', 400, 'invalid_request'],
    ['{"slides":true,"default_ttl":5}', 400, 'invalid_request'],
    ['{"processes":"mark"}', 400, 'invalid_request'],
    ['{"processes":[1]}', 400, 'invalid_request'],
    [`{"processes":${JSON.stringify(Array(17).fill('mark'))}}`, 400, 'invalid_request'],
    ['{"default_ttl":true}', 400, 'invalid_request'],
    ['{"default_ttl":"soon"}', 400, 'invalid_parameter'],
    ['{"default_ttl":0}', 400, 'invalid_parameter'],
    ['{"default_ttl":-1}', 400, 'invalid_parameter'],
    ['{"max_members":0}', 400, 'invalid_request'],
    ['{"max_bytes":"much"}', 400, 'invalid_request'],
    ['{"max_value_bytes":16777217}', 400, 'invalid_request'],
    ['{"max_members":1,"max_member":1}', 400, 'invalid_request'],
    ['{"processes":["nope"]}', 422, 'unprocessable'],
    // A file is never run because a request names it.
    ['{"processes":["./process.js"]}', 422, 'unprocessable'],
  ]
  test.each(bad)('%s is refused with %d %s', async (body, status, code) => {
    await set('a', { default_ttl: 5 })
    checkProblem(await ask('PUT', '/v1/_collections/a', body), status, code)
    expect((await ask('GET', '/v1/_collections/a')).text).toBe(
      `{"processes":null,"default_ttl":5,"sliding":false,${noQuota}}\n`,
    )
    expect((await ask('PUT', '/v1/_collections/_settings', '{}')).status).toBe(400)
    expect((await ask('PUT', '/v1/_collections/a?x=1', '{}')).status).toBe(400)
    expect((await ask('POST', '/v1/_collections/a', '{}')).status).toBe(405)
  })
})

test('the configuration file wins over what was set before', async () => {
  server = await startServer()
  await set('a', { processes: ['mark'] })
  await set('b', { processes: ['mark'] })
  await server.stop()
  const config = configFile('{"collections":{"a":{"default_ttl":5}}}', 'config.json')
  server = await startServer({ dataFolder: server.dataFolder, flags: ['--config', config] })
  expect((await ask('GET', '/v1/_collections/a')).text).toBe(
    `{"processes":null,"default_ttl":5,"sliding":false,${noQuota}}\n`,
  )
  expect((await ask('GET', '/v1/_collections/b')).text).toBe(
    `{"processes":["mark"],"default_ttl":null,"sliding":false,${noQuota}}\n`,
  )
  await server.remove()
})

test('a process that is gone from the configuration stops writes that need it, and says so', async () => {
  const config = configFile(JSON.stringify({ processes: [join(files, 'shout.ts')] }), 'config.json')
  server = await startServer({ flags: ['--config', config] })
  await set('a', { processes: ['shout'] })
  await server.stop()
  const folder = server.dataFolder
  server = await startServer({ dataFolder: folder })
  const refused = checkProblem(await ask('PUT', '/v1/a/k', '"x"'), 422, 'unprocessable')
  expect(refused.detail).toBe('there is no process "shout"; there are detect-language, mark')
  expect(await value('/v1/a/k')).toBe('404')
  await server.remove()
})

const wrong: [content: string, said: string][] = [
  ['export default 7', 'is no object'],
  ['export const a = 1', 'is no object'],
  ['export default { proceses: [] }', 'there is no "proceses"'],
  ['throw new Error("by itself")', 'by itself'],
  ['export default {', 'cannot be read'],
  ['export default { processes: ["./nope.ts"] }', 'nope.ts'],
  ['export default { processes: [1] }', 'is a list of paths'],
  ['export default { collections: { a: { processes: ["nope"] } } }', 'there is no process "nope"'],
  ['export default { collections: { _a: {} } }', 'begins with _'],
  ['export default { collections: { a: { default_ttl: "soon" } } }', 'is not a duration'],
  ['export default { collections: [] }', 'is no object'],
]

test.each(wrong)('a server does not start with %s', async (content, said) => {
  const path = configFile(content)
  const { exitCode, output } = await runServe(['--config', path, '--data', newFolder()])
  expect(exitCode).not.toBe(0)
  expect(output).toContain(said)
})

test.each([
  ['export default { name: "a b", run: (m) => m }', 'letters, digits, dots and dashes'],
  ['export default { name: "mark", run: (m) => m }', 'two processes are called "mark"'],
  ['export default { run: (m) => m }', 'does not export a default'],
  ['export default (m) => m', 'does not export a default'],
  ['throw new Error("by itself")', 'by itself'],
])('a server does not start with the process %s', async (content, said) => {
  const config = configFile('export default { processes: ["./process.ts"] }')
  writeFileSync(join(config, '../process.ts'), content)
  const { exitCode, output } = await runServe(['--config', config, '--data', newFolder()])
  expect(exitCode).not.toBe(0)
  expect(output).toContain(said)
})
