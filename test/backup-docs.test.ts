import { afterAll, expect, test } from 'bun:test'
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { freePort } from './support/ports.ts'
import { kvistProgram, newFolder } from './support/server.ts'
import { runToEnd } from './support/spawn.ts'

/** docs/backup.md does what it says: the commands of each section are run after what they are for has happened. */

const page = readFileSync(join(import.meta.dir, '../docs/backup.md'), 'utf8')
const root = newFolder()
afterAll(() => rmSync(root, { recursive: true, force: true }))

/** Returns the commands of a section. */
function commandsOf(title: string): string {
  const section = page.split(/^## /m).find((one) => one.startsWith(`${title}\n`)) ?? ''
  return [...section.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block]) => block).join('\n')
}

/** `kvist serve` in the background, in place of the one that runs; it is stopped before its folder is moved away. */
const prelude = (port: number) => `
server=
stop() { if [ -n "$server" ]; then kill "$server"; wait "$server" || true; server=; fi; }
trap 'stop' EXIT
kvist() {
  if [ "$1" != serve ]; then command kvist "$@"; return; fi
  stop
  command kvist "$@" >> log 2>&1 &
  server=$!
  until curl -fs "$url/readyz" > /dev/null; do kill -0 "$server" || { cat log >&2; return 1; }; sleep 0.05; done
}
mv() { stop; command mv "$@"; }
export KVIST_PORT=${port} url=http://127.0.0.1:${port}
kvist serve --data kvist-data --backup-to backups
# The first backup is taken at the start, and only one at a time.
until ls backups/*.kvist > /dev/null 2>&1; do sleep 0.05; done
curl -fs -X PUT -d '{"name":"Ann"}' "$url/v1/users/ann" > /dev/null
curl -fs -X PUT -d '{"name":"Bo"}' "$url/v1/users/bo?expire_in=1h" > /dev/null
curl -fs -o backups/backup-2027-01-01T00-00-00.000Z-0000000000000002.kvist "$url/v1/_backup"
`

async function play(title: string, disaster: string, after: string): Promise<string> {
  const cwd = join(root, title.replaceAll(' ', '-'))
  mkdirSync(join(cwd, 'big-disk'), { recursive: true })
  const port = freePort()
  const commands = commandsOf(title).replaceAll('7070', `${port}`)
  expect(commands).not.toBe('')
  const script = [prelude(port), disaster, 'echo begin', commands, 'echo end', after].join('\n')
  const { exitCode, stdout, stderr } = await runToEnd(['bash', '-e', '-o', 'pipefail', '-c', script], {
    cwd,
    env: { PATH: `${dirname(kvistProgram)}:${process.env.PATH}`, HOME: cwd },
  })
  expect([exitCode, exitCode === 0 ? '' : stdout + stderr]).toEqual([0, ''])
  return stdout.slice(stdout.indexOf('end\n') + 4)
}

const both = 'curl -fs "$url/v1/users/ann" "$url/v1/users/bo"'
const ofBoth = '{"name":"Ann"}{"name":"Bo"}'

test('a backup is taken by the server, by the command and by curl', async () => {
  const left = await play(
    'Before anything happens',
    '',
    'kvist restore store.kvist --data copy -q; ls copy/kvist.db',
  )
  expect(left).toContain('copy/kvist.db')
})

test('a lost machine comes back', async () => {
  expect(await play('The machine is lost', 'stop; rm -r kvist-data', both)).toBe(ofBoth)
})

test('a dropped collection comes back, beside and in its place', async () => {
  const after = `${both}; curl -fsi "$url/v1/users-restored/bo" | grep -ci kvist-expires-at`
  expect(await play('A collection was dropped', 'kvist drop --yes -c users', after)).toBe(`${ofBoth}1\n`)
})

test('a store moves to a larger disk', async () => {
  const left = await play(
    'The disk is full',
    'kvist put -c logs l 1',
    `${both}; ls big-disk/kvist-data/kvist.db`,
  )
  expect(left).toBe(`${ofBoth}big-disk/kvist-data/kvist.db\n`)
})

test('a damaged store is replaced', async () => {
  const damage = 'stop; printf "%0200d" 0 | dd of=kvist-data/kvist.db bs=1 conv=notrunc status=none'
  expect(await play('A file is damaged', damage, `${both}; ls kvist-data.damaged/kvist.db`)).toBe(
    `${ofBoth}kvist-data.damaged/kvist.db\n`,
  )
})

test('the store of before an upgrade comes back', async () => {
  expect(await play('Going back a version', '', both)).toBe(ofBoth)
})
