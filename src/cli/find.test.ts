import { afterAll, beforeAll, expect, test } from 'bun:test'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Kvist } from '../../sdk/client.ts'
import { type RunOptions, run, runOnTerminal } from '../../test/support/program.ts'
import { kvistProgram, newFolder, startServer, type TestServer } from '../../test/support/server.ts'

/** `kvist find`, `kvist index` and `kvist schema` against a real server, and --where in other commands. */

let server: TestServer
let client: Kvist
const folder = newFolder()
beforeAll(async () => {
  server = await startServer()
  client = new Kvist(server.url)
  const lines = [
    '{"key":"a","value":{"name":"Malmö","country":"SE","population":362133.0}}',
    '{"key":"b","value":{"name":"Lund","country":"SE","population":94393}}',
    '{"key":"c","value":{"name":"Oslo","country":"NO","population":717710,"tags":["fjord"]}}',
  ]
  await client.collection('cities').importLines(lines.join('\n'))
})
afterAll(async () => {
  await server.remove()
  rmSync(folder, { recursive: true, force: true })
})

async function kvist(args: readonly string[], options: RunOptions = {}) {
  const { exitCode, stdout, stderr } = await run(args, { ...options, env: { KVIST_URL: server.url } })
  return { exitCode, stdout: stdout.toString(), stderr }
}

const swedish = '@.country == "SE"'

test('find prints lines of JSON, a count, or how it found them', async () => {
  expect(
    await kvist([
      'find',
      'cities',
      '--where',
      swedish,
      '--order',
      '-@.population',
      '--fields',
      '@.population',
    ]),
  ).toEqual({
    exitCode: 0,
    stdout: expect.stringMatching(/^\{"key":"a","value":\{"population":362133\.0\}.*\n\{"key":"b".*\n$/),
    stderr: '',
  })
  expect((await kvist(['find', 'cities', '--count', '--where', swedish])).stdout).toBe('2\n')
  expect(JSON.parse((await kvist(['find', 'cities', '--explain', '--limit', '1'])).stdout)).toMatchObject({
    index: null,
    returned: 1,
  })
  for (const [args, why] of [
    [[], 'find needs COLLECTION'],
    [['cities', '--where', '@.a =='], 'expected'],
    [['cities', '--count', '--explain'], 'do not go together'],
    [['cities', '--count', '--limit', '1'], 'goes with no --order, --fields and --limit'],
  ] as const) {
    const { exitCode, stdout, stderr } = await kvist(['find', ...args])
    expect([exitCode > 0, stdout, stderr.split('\n').length]).toEqual([true, '', 2])
    expect(stderr).toContain(why)
  }
})

test('find prints a column for each field on a terminal', async () => {
  const terminal = runOnTerminal(
    ['find', 'cities', '--fields', '@.name,@.tags[0],@.population', '--order', '@.name'],
    {
      env: { KVIST_URL: server.url },
    },
  )
  expect(await terminal.exited).toBe(0)
  const lines = terminal.screen().replaceAll('\r', '').trimEnd().split('\n')
  expect(lines.map((line) => line.trimEnd())).toEqual([
    'KEY  @.name  @.tags[0]  @.population',
    'b    Lund               94393',
    'a    Malmö              362133.0',
    'c    Oslo    fjord      717710',
  ])
})

test('list, export, drop and watch take --where', async () => {
  expect((await kvist(['list', '-c', 'cities', '--where', swedish])).stdout).toBe('a\nb\n')
  const exported = await kvist(['export', '-c', 'cities', '--where', '@.population > 400000', '-q', '-'])
  expect(exported.stdout).toStartWith('{"key":"c"')
  const watching = Bun.spawn([kvistProgram, 'watch', '-c', 'cities', '--since', '0', '--where', swedish], {
    env: { PATH: process.env.PATH, KVIST_URL: server.url },
    stdout: 'pipe',
    stderr: 'ignore',
  })
  let seen = ''
  for await (const chunk of watching.stdout) {
    seen += new TextDecoder().decode(chunk)
    if (seen.split('\n').length > 3) break
  }
  watching.kill()
  expect(seen.split('\n').map((line) => line.split('\t').slice(1, 3).join(' '))).toEqual([
    'put a',
    'put b',
    'leave c',
    '',
  ])
  const refused = await kvist(['watch', '-c', 'cities', 'a', '--where', swedish])
  expect(refused).toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining('--where chooses among members'),
  })
  await client.collection('gone').import([1, 2, 3].map((n) => ({ key: `${n}`, value: { n } })))
  const dropped = await kvist(['drop', '-c', 'gone', '--where', '@.n > 1', '-y'])
  expect(dropped.stderr).toBe('kvist: deleted 2\n')
})

test('an index is created, waited for, used, listed and dropped', async () => {
  const on = ['--on', '@.country,@.population']
  expect(await kvist(['index', 'create', 'cities', 'by_country', ...on, '--wait'])).toEqual({
    exitCode: 0,
    stdout: '',
    stderr: 'kvist: by_country is ready\n',
  })
  expect((await kvist(['index', 'create', 'cities', 'by_country', ...on])).exitCode).toBe(0)
  const other = await kvist(['index', 'create', 'cities', 'by_country', '--on', '@.name'])
  expect(other).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('another index with the name') })
  const { stdout } = await kvist(['index', 'list', 'cities'])
  expect(stdout).toStartWith('by_country\t@.country,@.population\tno\tready\t')
  expect(JSON.parse((await kvist(['find', 'cities', '--where', swedish, '--explain'])).stdout)).toMatchObject(
    {
      returned: 2,
    },
  )
  expect((await kvist(['index', 'drop', 'cities', 'by_country'])).stderr).toBe('kvist: dropped by_country\n')
  expect(await kvist(['index', 'drop', 'cities', 'by_country'])).toMatchObject({
    exitCode: 1,
    stderr: 'kvist: cities has no index by_country\n',
  })
  expect((await kvist(['index', 'list', 'cities'])).stdout).toBe('')
  const wrong = await kvist(['index', 'create', 'cities', 'x', '--on', 'name'])
  expect(wrong).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('--on: ') })
})

test('a schema is tried, set, shown and removed, and other settings stay', async () => {
  const file = join(folder, 'schema.json')
  writeFileSync(file, '{"properties":{"population":{"maximum":700000}}}')
  await client.collection('cities').setSettings({ default_ttl: 3600 })
  const check = await kvist(['schema', 'check', 'cities', file])
  expect(check).toEqual({
    exitCode: 1,
    stdout: 'c\t/population\tmust be <= 700000\n',
    stderr: 'kvist: checked 3, 1 break the schema\n',
  })
  expect(await kvist(['schema', 'get', 'cities'])).toMatchObject({ exitCode: 1, stdout: '' })
  const set = await kvist(['schema', 'set', 'cities', '-'], { stdin: '{"type":"object"}' })
  expect(set).toEqual({ exitCode: 0, stdout: '', stderr: 'kvist: set the schema of cities\n' })
  expect((await kvist(['schema', 'get', 'cities'])).stdout).toBe('{"type":"object"}\n')
  expect((await kvist(['schema', 'check', 'cities', '-q'])).exitCode).toBe(0)
  const refused = await kvist(['put', '-c', 'cities', 'd', '1'])
  expect(refused).toMatchObject({
    exitCode: 1,
    stderr: 'kvist: the value of "d" breaks the schema of cities: it must be object\n',
  })
  expect((await kvist(['schema', 'drop', 'cities'])).exitCode).toBe(0)
  expect(await client.collection('cities').settings()).toMatchObject({
    schema: null,
    default_ttl: 3600,
  })
  const wrong = await kvist(['schema', 'set', 'cities', '-'], { stdin: '{"type":"x"}' })
  expect(wrong).toMatchObject({
    exitCode: 1,
    stderr: expect.stringContaining('the schema is wrong at /type'),
  })
})
