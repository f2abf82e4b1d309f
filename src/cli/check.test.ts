import { afterAll, expect, test } from 'bun:test'
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { run } from '../../test/support/program.ts'
import { newFolder, startServer } from '../../test/support/server.ts'

const folder = newFolder()
mkdirSync(folder, { recursive: true })
afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('kvist check refuses a folder in use, says that one is whole, and names what is damaged', async () => {
  const server = await startServer()
  try {
    const { dataFolder } = server
    for (const name of ['ann', 'bo'])
      await fetch(`${server.url}/v1/users/${name}`, { method: 'PUT', body: `{"name": "${name}"}` })
    const backup = join(folder, 'users.kvist')
    const response = await fetch(`${server.url}/v1/_backup`)
    writeFileSync(backup, new Uint8Array(await response.arrayBuffer()))
    expect(await run(['check', backup])).toMatchObject({
      exitCode: 0,
      stderr: expect.stringMatching(
        /users\.kvist is whole: a backup of \S+, 2 members, 0 tombstones, revision 2\n$/,
      ),
    })
    truncateSync(backup, statSync(backup).size - 10)
    const half = await run(['check', '--json', backup])
    expect(half).toMatchObject({ exitCode: 1, stderr: expect.stringMatching(/is damaged, or no backup\n$/) })
    expect(JSON.parse(half.stdout.toString())).toMatchObject({
      is_whole: false,
      findings: [{ where: 'backup' }],
    })
    const refused = await run(['check', dataFolder])
    expect(refused).toMatchObject({ exitCode: 1, stderr: `kvist: ${dataFolder} is held by another kvist\n` })
    await server.stop()

    const whole = await run(['check', dataFolder])
    expect(whole).toMatchObject({ exitCode: 0 })
    expect(whole.stdout.toString()).toBe('')
    expect(whole.stderr).toMatch(
      /is whole: 2 members, 0 tombstones, 0 writes in the log; read .* MB in .* s, .* MB\/s\n$/,
    )

    damageEachCopy(dataFolder, '{"name": "bo"}')
    const damaged = await run(['check', dataFolder])
    expect(damaged.exitCode).toBe(1)
    expect(damaged.stdout.toString()).toContain(
      'members\tusers\tbo\tthe checksum of its row does not match\n',
    )
    expect(damaged.stderr).toMatch(/is damaged: \d findings; .*\n.*kvist repair .* --to NEW\n$/)
    const { exitCode, stdout, stderr } = await run(['check', '--json', '-q', dataFolder])
    expect({ exitCode, stderr }).toEqual({ exitCode: 1, stderr: '' })
    const to = join(folder, 'repaired')
    const saved = await run(['repair', dataFolder, '--to', to])
    expect(saved.exitCode).toBe(1)
    expect(saved.stdout.toString()).toBe('lost\tusers\tbo\t2\tit cannot be read\n')
    expect(saved.stderr).toMatch(
      /saved 1 members and 0 tombstones of .*; lost: 1 members, 0 writes; uncertain: 0\n$/,
    )
    expect((await run(['check', to])).exitCode).toBe(0)
    expect(JSON.parse(stdout.toString())).toMatchObject({
      path: dataFolder,
      is_whole: false,
      members: 1,
      format: 3,
    })
  } finally {
    await server.remove()
  }
})

/** A repair also looks into files of the log that were flushed, which stay until they are used again. */
function damageEachCopy(dataFolder: string, value: string): void {
  for (const name of readdirSync(dataFolder)) {
    const path = join(dataFolder, name)
    if (!statSync(path).isFile()) continue
    const bytes = readFileSync(path)
    let at = bytes.indexOf(value)
    if (at < 0) continue
    for (; at >= 0; at = bytes.indexOf(value, at + 1)) bytes[at + 3]! ^= 1
    writeFileSync(path, bytes)
  }
}

test.each([
  [['check'], 2, /^kvist: check needs PATH/],
  [['check', '/nowhere/at/all'], 1, /^kvist: \/nowhere\/at\/all: there is no such file or folder\n$/],
  [['check', folder], 1, /has no store: neither kvist\.db nor a log\n$/],
  [['repair', folder], 2, /^kvist: repair needs --to NEW/],
  [['repair', folder, '--to', join(folder, 'new')], 1, /has no store: neither kvist\.db nor a log\n$/],
])('kvist %j is refused with one line', async (args, exitCode, line) => {
  const ended = await run(args)
  expect(ended.exitCode).toBe(exitCode)
  expect(ended.stderr).toMatch(line)
})
