import { expect, test } from 'bun:test'
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { kvistProgram, startServer } from './support/server.ts'

/** A server with as little memory as it says it needs: it takes an import that is larger than that, and has all of it. */

const limitBytes = 128_000_000
const members = 60_000

/** A control group with that limit, where this user may make one. Its limit is a hard one: who passes it is ended. */
function limitedGroup(): string | null {
  const [parent, limit] = existsSync('/sys/fs/cgroup/memory')
    ? ['/sys/fs/cgroup/memory', 'memory.limit_in_bytes']
    : ['/sys/fs/cgroup', 'memory.max']
  const group = join(parent!, `kvist-test-${process.pid}`)
  try {
    mkdirSync(group)
    writeFileSync(join(group, limit!), String(limitBytes))
    return group
  } catch {
    if (existsSync(group)) rmdirSync(group)
    return null
  }
}

/** `kvist serve`: in the group, which it finds by itself; or with the limit as an option, where there is no group. */
function commandIn(group: string | null): readonly string[] {
  if (group === null) return [kvistProgram, 'serve', '--memory', String(limitBytes)]
  return ['sh', '-c', `echo $$ > ${group}/cgroup.procs && exec "$@"`, 'sh', kvistProgram, 'serve']
}

function keyOf(i: number): string {
  // Scattered: nearly every page of the tables is written to by every job.
  return `user:${String((i * 48_271) % 2_147_483_647).padStart(10, '0')}`
}

test('an import into a server with 128 MB of memory ends well', async () => {
  const group = limitedGroup()
  const server = await startServer({ command: commandIn(group) })
  try {
    const value = 'x'.repeat(100)
    const lines = Array.from({ length: members }, (_, i) => `{"key":"${keyOf(i)}","value":"${i} ${value}"}`)
    const response = await fetch(`${server.url}/v1/a`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson' },
      body: lines.join('\n'),
    })
    expect(await response.json()).toEqual({ stored: members, failed: [] })
    const listed = await fetch(`${server.url}/v1/a`, { headers: { accept: 'application/x-ndjson' } })
    const found = (await listed.text()).trimEnd().split('\n')
    const expected = Array.from({ length: members }, (_, i) => keyOf(i)).toSorted()
    expect(found.map((line) => JSON.parse(line).key)).toEqual(expected)
    for (const i of [0, 1, members - 1])
      expect(await (await fetch(`${server.url}/v1/a/${keyOf(i)}`)).text()).toBe(`"${i} ${value}"`)
    expect(server.output()).toContain('memory is limited to 122 MiB: segments of 2 MiB')
  } finally {
    await server.remove()
    if (group !== null) rmdirSync(group)
  }
})
