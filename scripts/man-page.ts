import { type CliCommand, type CommandTable, isGroup } from '../src/cli/command.ts'
import type { Operand, OptionTable } from '../src/options.ts'

/** Writes kvist.1, from the same tables as the help. */

/** Returns the page for `man`, in roff. */
export async function manPage(commands: CommandTable, version: string, date: string): Promise<string> {
  const entries = await allCommands(commands)
  return [
    `.TH KVIST 1 "${date}" "kvist ${version}" "User Commands"`,
    '.SH NAME',
    'kvist \\- a key\\-value store that speaks HTTP',
    '.SH SYNOPSIS',
    '.B kvist',
    '.I COMMAND',
    '[\\fIOPTION\\fR...]',
    '.SH DESCRIPTION',
    text(
      '`kvist serve` serves a store over HTTP; the other commands use a server, that of this machine unless --url says otherwise.',
    ),
    ...entries.flatMap(([name, command]) => commandSection(name, command)),
    '.SH EXIT STATUS',
    text('0 done, 1 failed, 2 not understood and nothing done, 128 and more ended by a signal.'),
    '.SH FILES',
    ...term('/etc/kvist/kvist.env', 'options of the service'),
    ...term('/etc/kvist/token', 'the token that requests to the service must carry'),
    ...term('/var/lib/kvist', 'the data of the service'),
    '.SH SEE ALSO',
    text('The documents in /usr/share/doc/kvist, and `kvist COMMAND --help`.'),
    '',
  ].join('\n')
}

async function allCommands(table: CommandTable, group = ''): Promise<[string, CliCommand][]> {
  const found: [string, CliCommand][] = []
  for (const [name, load] of Object.entries(table)) {
    const entry = await load()
    if (!isGroup(entry)) {
      found.push([`${group}${name}`, entry])
      continue
    }
    if (entry.main !== undefined) found.push([`${group}${name}`, await entry.main()])
    found.push(...(await allCommands(entry.commands, `${group}${name} `)))
  }
  return found
}

function commandSection(name: string, { summary, notes, operands, options }: CliCommand): string[] {
  const usage = operands.map((operand) => ` ${usageOf(operand)}`).join('')
  return [
    `.SH ${text(`kvist ${name}`.toUpperCase())}`,
    `.B ${text(`kvist ${name}`)}`,
    `${text(usage.trim())} [\\fIOPTION\\fR...]`.trim(),
    '.PP',
    text(`${summary}.`),
    ...(notes === undefined ? [] : ['.PP', text(notes)]),
    ...operands.flatMap((operand) => term(operand.name, operand.help)),
    ...optionTerms(options),
  ]
}

function usageOf({ name, optional, many }: Operand): string {
  const inside = many ? `${name}...` : name
  return optional ? `[${inside}]` : inside
}

function optionTerms(options: OptionTable): string[] {
  return Object.values(options).flatMap((option) => {
    const flag =
      option.flag === undefined ? [] : [`--${option.flag}${option.unit === null ? '' : ` ${option.unit}`}`]
    const names = [...(option.short === undefined ? [] : [`-${option.short}`]), ...flag]
    const variable = option.env === undefined ? '' : ` [${option.env}]`
    const hint = option.hint === undefined ? '' : ` (${option.hint})`
    return names.length === 0
      ? term(`${option.env}`, option.help)
      : term(names.join(', '), option.help + hint + variable)
  })
}

function term(name: string, help: string): string[] {
  return ['.TP', `.B ${text(name)}`, text(help)]
}

/** Returns a text in which roff finds no command. */
function text(plain: string): string {
  return plain
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replace(/\s*\n\s*/g, ' ')
    .replace(/^(?=[.'])/, '\\&')
}
