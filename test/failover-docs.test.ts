import { afterAll, expect, test } from 'bun:test'
import { readFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { freePorts } from './support/ports.ts'
import { kvistProgram, newFolder } from './support/server.ts'
import { runToEnd } from './support/spawn.ts'

/** docs/failover.md does what it says: its commands run one after the other, with a leader that is killed. */

const page = readFileSync(join(import.meta.dir, '../docs/failover.md'), 'utf8')
const folder = newFolder()
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function blocks(): readonly string[] {
  return [...page.matchAll(/^( *)```sh\n(.*?)^ *```$/gms)].map(([, indent = '', block = '']) =>
    block.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
  )
}

test('every command works, and no write is lost', async () => {
  const [first, second] = freePorts(2)
  const commands = blocks().join('\n').replaceAll('7070', `${first}`).replaceAll('7071', `${second}`)
  const script = `trap 'kill -9 $first $second' EXIT\n${commands}
for port in ${first} ${second}; do
  for key in dune emma; do kvist get --url "http://127.0.0.1:$port" -c books $key; echo; done
done`
  const { exitCode, stdout, stderr } = await runToEnd(['bash', '-e', '-o', 'pipefail', '-c', script], {
    cwd: folder,
    env: { PATH: `${dirname(kvistProgram)}:${process.env.PATH}`, HOME: folder },
  })
  expect([exitCode, exitCode === 0 ? '' : stdout + stderr]).toEqual([0, ''])
  const [a, b] = [`http://127.0.0.1:${first}`, `http://127.0.0.1:${second}`]
  expect(stdout).toContain(`${b} is the leader (term 1)\n${a} was followed: everything that it had at `)
  expect(stdout).toContain(`${a} could not be told`)
  expect(stdout).toContain(`${a} is the leader (term 2)\n${b} was followed: everything that it had is here\n`)
  expect(stdout).toContain(`${b} takes no writes any more: start it with --follow\n`)
  expect(stdout).toMatch(/\n[a-z0-9]{12}\tcurrent\t\S+\n/) // the follower, as the leader shows it
  expect(stdout).toEndWith('{"year": 1965}\n{"year": 1815}\n{"year": 1965}\n{"year": 1815}\n')
})
