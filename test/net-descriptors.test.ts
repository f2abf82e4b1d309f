import { describe, expect, test } from 'bun:test'
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { parseSamples, sampleOf } from './support/prometheus.ts'
import { kvistProgram, newFolder, startServer, type TestServer } from './support/server.ts'
import { runToEnd } from './support/spawn.ts'
import { openWire, requestBytes, type Wire } from './support/wire.ts'

/** A process that may have few files and sockets open, and clients that want more of them. */

const limit = 300
const flood = 340

const limited = ['sh', '-c', `ulimit -n ${limit} && exec "$0" "$@"`, kvistProgram, 'serve']
const token = 'a-token'
const headers = { Authorization: `Bearer ${token}` }

function startLimited(flags: readonly string[] = []): Promise<TestServer> {
  return startServer({ command: limited, env: { KVIST_TOKEN: token }, flags })
}

async function statusOf(
  wire: Wire,
  method: string,
  path: string,
  body?: string | Uint8Array,
): Promise<number> {
  const type = { 'Content-Type': 'a/b' }
  wire.write(
    requestBytes(method, path, { headers: { ...headers, ...type }, ...(body === undefined ? {} : { body }) }),
  )
  return (await wire.response(method)).status
}

/** Values that fill several segments of the log, so that they are flushed by its worker. */
async function writeMuch(wire: Wire): Promise<void> {
  const value = new Uint8Array(1024 * 1024).fill(7)
  for (let i = 0; i < 60; i++)
    expect(await statusOf(wire, 'PUT', `/v1/much/${i}`, value)).toBeWithin(200, 202)
}

function descriptorsOf(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length
}

function processorSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]!.split(' ')
  return (Number(fields[11]) + Number(fields[12])) / 100
}

function warnings(server: TestServer): string[] {
  return server
    .output()
    .split('\n')
    .filter((line) => line.includes('"level":"warn"'))
}

describe.each([
  ['that has not written yet', false],
  ['that writes', true],
])('a server %s, with more silent clients than it may have descriptors', (_what, isWarm) => {
  test('closes the oldest silent ones, responds to requests, and says so once', async () => {
    const server = await startLimited()
    try {
      const client = await openWire(server.port)
      expect(await statusOf(client, 'GET', '/v1/much/none')).toBe(404)
      expect(await statusOf(client, 'GET', '/v1')).toBe(200)
      if (isWarm) await writeMuch(client)
      const silent: Wire[] = []
      for (let i = 0; i < flood; i++) {
        silent.push(await openWire(server.port))
        if (i % 20 === 0) expect(await statusOf(client, 'PUT', `/v1/during/${i}`, '1')).toBe(201)
      }
      await writeMuch(client)
      expect(descriptorsOf(server.pid)).toBeLessThan(limit)
      const samples = parseSamples(await (await fetch(`${server.url}/metrics`, { headers })).text())
      const max = sampleOf(samples, 'kvist_max_connections', {})!
      expect(max).toBeWithin(200, limit)
      expect(sampleOf(samples, 'kvist_open_connections', { protocol: 'http' })).toBe(max)
      expect(sampleOf(samples, 'kvist_evicted_connections_total', { protocol: 'http' })).toBeGreaterThan(
        flood - max,
      )
      const gone = await Promise.race([silent[0]!.closed, Bun.sleep(5000)])
      expect(gone).toBe('ended')
      const last = silent.at(-1)!
      expect(await statusOf(last, 'PUT', '/v1/during/last', '1')).toBe(201)
      const before = processorSeconds(server.pid)
      await Bun.sleep(1000)
      expect(processorSeconds(server.pid) - before).toBeLessThan(0.5)
      expect(warnings(server)).toHaveLength(1)
      expect(warnings(server)[0]).toContain('--max-connections')
      expect(server.output()).not.toContain('"level":"error"')
      for (const one of [client, ...silent]) one.destroy()
      expect(await server.stop()).toBe(0)
    } finally {
      await server.remove()
    }
  })
})

test.each([
  [
    'too few descriptors to serve',
    70,
    [],
    /^kvist: the limit on open files \(ulimit -n\) is 70; kvist needs at least \d+\n$/,
  ],
  [
    'more connections than it may have descriptors',
    limit,
    ['--max-connections', '5000'],
    /^kvist: --max-connections 5000 needs a limit on open files \(ulimit -n\) of \d+, and it is 300\n$/,
  ],
] as const)(
  'a server with %s says so in one line and does not start',
  async (_what, descriptors, flags, message) => {
    const shell = ['sh', '-c', `ulimit -n ${descriptors} && exec "$0" "$@"`, kvistProgram, 'serve']
    const folder = newFolder()
    const { exitCode, stderr } = await runToEnd([...shell, '--port', '0', '--data', folder, ...flags])
    rmSync(folder, { recursive: true, force: true })
    expect([exitCode, stderr]).toEqual([1, expect.stringMatching(message)])
  },
)
