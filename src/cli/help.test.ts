import { expect, test } from 'bun:test'
import { dirname } from 'node:path'
import manifest from '../../package.json' with { type: 'json' }
import { run } from '../../test/support/program.ts'
import { kvistProgram } from '../../test/support/server.ts'
import { type CliCommand, type CommandTable, isGroup } from './command.ts'
import { commands } from './commands.ts'

async function helpOn(...args: string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await run([...args, '--help'])
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' })
  return stdout.toString()
}

test('the help names every command, and each has one of its own with all of its options', async () => {
  const overview = await helpOn()
  expect(overview.replace(/\s+/g, ' ')).toContain('Exit codes: 0 done, 1 failed, 2 not understood')
  for (const name of Object.keys(commands)) expect(overview).toContain(`kvist ${name}`)
  for (const [words, { summary, options }] of await allCommands(commands)) {
    const help = (await helpOn(...words)).replace(/\s+/g, ' ')
    expect(help).toStartWith(`kvist ${words.join(' ')} `)
    expect(help).toContain(`${summary}.`)
    for (const row of Object.values(options))
      expect(help).toContain(row.flag === undefined ? `${row.env}:` : `--${row.flag} `)
  }
})

async function allCommands(table: CommandTable): Promise<[words: string[], CliCommand][]> {
  const entries = Object.entries(table).map(async ([name, load]): Promise<[string[], CliCommand][]> => {
    const entry = await load()
    if (!isGroup(entry)) return [[[name], entry]]
    return (await allCommands(entry.commands)).map(([words, command]) => [[name, ...words], command])
  })
  return (await Promise.all(entries)).flat()
}

test('a word that begins the names of commands has help that lists them', async () => {
  const help = await helpOn('token')
  for (const line of ['Create, list and revoke tokens.', 'kvist token create ', 'kvist token revoke <ID..>'])
    expect(help).toContain(line)
  expect((await run(['help', 'token'])).stdout.toString()).toBe(help)
  expect(await run(['token'])).toMatchObject({ exitCode: 2, stderr: help })
  expect((await run(['help', 'token', 'create'])).stdout.toString()).toBe(await helpOn('token', 'create'))
})

test('serve --help shows units, ranges, variables and defaults', async () => {
  const help = (await helpOn('serve', '--port', '1')).replace(/\s+/g, ' ').replaceAll('] [', '][')
  expect(help).toContain(
    '--cache-bytes memory for the read cache; 0 turns it off (0 to 1TiB) [KVIST_CACHE_BYTES][default: 192MiB]',
  )
  expect(help).toContain('[KVIST_DURABILITY][choices: "full", "relaxed"][default: full]')
  expect(help).not.toContain('--version')
})

test('help comes as a command and as -h, the version alone; nothing at all is not understood', async () => {
  expect((await run(['-h'])).stdout.toString()).toBe(await helpOn())
  expect((await run(['help', 'put'])).stdout.toString()).toBe(await helpOn('put'))
  expect((await run(['--version'])).stdout.toString()).toBe(`kvist ${manifest.version}\n`)
  expect(await run([])).toMatchObject({ exitCode: 2, stderr: await helpOn() })
})

const completions: [words: string, found: string][] = [
  ['kvist ', Object.keys(commands).join(' ')],
  ['kvist li', 'list'],
  ['kvist serve --p', '--port'],
  ['kvist token ', 'create list revoke'],
  ['kvist token r', 'revoke'],
  ['kvist token create --a', '--allow'],
  ['kvist serve --durability ', 'full relaxed'],
  ['kvist list --include v', 'values'],
]

test.each(completions)('bash completes %j', async (line, found) => {
  const words = line.split(' ')
  const script = `
    source <(kvist completion)
    COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}) COMP_CWORD=${words.length - 1}
    _kvist_yargs_completions
    echo "\${COMPREPLY[*]}"`
  const child = Bun.spawn(['bash', '-c', script], {
    env: { PATH: `${dirname(kvistProgram)}:${process.env.PATH}`, SHELL: '/bin/bash' },
    stdout: 'pipe',
  })
  expect(await child.stdout.text()).toBe(`${found}\n`)
})

test('the completion script is of the shell that the environment names', async () => {
  const script = async (shell: string) =>
    (await run(['completion'], { env: { SHELL: shell } })).stdout.toString()
  expect(await script('/bin/bash')).toContain('complete -o bashdefault')
  expect(await script('/usr/bin/zsh')).toStartWith('#compdef kvist')
})
