import yargs, { type Argv } from 'yargs'
import manifest from '../../package.json' with { type: 'json' }
import { type Operand, type OptionTable, quote, refuse } from '../options.ts'
import { type CliCommand, type CommandTable, isGroup } from './command.ts'
import { print } from './output.ts'

/**
 * Prints help and shell completion, which yargs generates from the tables of the commands. It does not parse arguments
 * for commands.
 */

const completionFlag = '--get-yargs-completions' // the shell scripts of yargs call it

/** Handles arguments that name no command, or ask for help. Resolves with the exit code. */
export async function help(
  commands: CommandTable,
  words: readonly string[],
  isAskedFor: boolean,
): Promise<number> {
  const [name = '', ...args] = words
  switch (name) {
    case '':
      process.stderr.write(await helpOn(commands, []))
      return 2
    case '--version':
      await print(`kvist ${manifest.version}\n`)
      return 0
    case completionFlag:
      await (await describe(commands, words)).parseAsync() // prints, and ends the program
      return 0
    case 'help':
    case '--help':
    case '-h':
      await print(await helpOn(commands, args))
      return 0
    default: {
      const text = await helpOn(commands, await nameIn(commands, words))
      if (isAskedFor) await print(text)
      else process.stderr.write(text)
      return isAskedFor ? 0 : 2
    }
  }
}

/** Returns the words that name a command or a group of commands. Throws UsageError if they name none. */
async function nameIn(table: CommandTable, words: readonly string[], group = ''): Promise<string[]> {
  const [name = '', ...rest] = words
  if (group !== '' && (name === '' || name.startsWith('-'))) return []
  const entry = Object.hasOwn(table, name) ? await table[name]?.() : undefined
  if (entry === undefined) refuse(`there is no command ${quote(group + name)}: see kvist ${group}--help`)
  return [name, ...(isGroup(entry) ? await nameIn(entry.commands, rest, `${group}${name} `) : [])]
}

/** Prints the completion script for the shell in $SHELL to standard output. */
export async function printCompletionScript(commands: CommandTable): Promise<void> {
  const parser = await describe(commands, [])
  parser.showCompletionScript()
}

async function helpOn(commands: CommandTable, words: readonly string[]): Promise<string> {
  const parser = await describe(commands, words)
  return `${await parser.getHelp()}\n`
}

async function describe(commands: CommandTable, words: readonly string[]): Promise<Argv> {
  const parser = yargs([...words])
    .scriptName('kvist')
    .usage('kvist COMMAND [OPTION…]: a key-value store that speaks HTTP')
    .epilogue(
      'kvist COMMAND --help has more, kvist --version prints the version.\n\n' +
        'Exit codes: 0 done, 1 failed, 2 not understood and nothing done, 128 and more ended by a signal.',
    )
    .detectLocale(false)
    .version(false)
    .wrap(Math.min(process.stdout.columns ?? 80, 110))
  addEntries(parser, await loadEntries(commands))
  return parser
}

/** A command, or a group of commands, with its code at hand: yargs does not wait for it. */
type Entry =
  | { readonly name: string; readonly command: CliCommand }
  | {
      readonly name: string
      readonly summary: string
      readonly main: CliCommand | undefined
      readonly inner: readonly Entry[]
    }

function loadEntries(table: CommandTable): Promise<readonly Entry[]> {
  const entries = Object.entries(table).map(async ([name, load]): Promise<Entry> => {
    const entry = await load()
    if (!isGroup(entry)) return { name, command: entry }
    const { summary, main } = entry
    return { name, summary, main: await main?.(), inner: await loadEntries(entry.commands) }
  })
  return Promise.all(entries)
}

/** Adds commands to a parser. `group` is the beginning of their names, with a space after it. */
function addEntries(parser: Argv, entries: readonly Entry[], group = ''): void {
  for (const entry of entries) {
    if ('command' in entry) {
      addCommand(parser, `${group}${entry.name}`, entry.name, entry.command)
      continue
    }
    const { name, summary, main, inner } = entry
    const word = main === undefined ? 'COMMAND' : '[COMMAND]'
    parser.command(name, summary, (nested) => {
      nested.usage(`$0 ${group}${name} ${word} [OPTION…]\n\n${summary}.`)
      nested.epilogue(main === undefined ? '' : notesOf(main))
      addEntries(nested, inner, `${group}${name} `)
      if (main !== undefined) describeOptions(nested, main.options)
      return nested
    })
  }
}

function addCommand(parser: Argv, fullName: string, name: string, shown: CliCommand): void {
  const { summary, operands, options } = shown
  const operandUsage = operands.map((operand) => ` ${usageOf(operand)}`).join('')
  parser.command(`${name}${operandUsage}`, summary, (command) => {
    command.usage(`$0 ${fullName}${operandUsage}\n\n${summary}.`).epilogue(notesOf(shown))
    for (const { name, help } of operands) command.positional(name, { describe: help })
    describeOptions(command, options)
    return command
  })
}

function notesOf({ notes = '', options }: CliCommand): string {
  return [notes, ...environment(options)].join('\n\n').trim()
}

function usageOf({ name, optional, many }: Operand): string {
  const inside = many ? `${name}..` : name
  return optional ? `[${inside}]` : `<${inside}>`
}

function describeOptions(command: Argv, options: OptionTable): void {
  for (const option of Object.values(options)) {
    if (option.flag === undefined) continue
    const hint = option.hint === undefined ? '' : ` (${option.hint})`
    const variable = option.env === undefined ? '' : ` [${option.env}]`
    const isShown =
      option.unit !== null && option.default !== undefined && option.default !== null && !option.many
    command.option(option.flag, {
      describe: option.help + hint + variable,
      ...(option.short === undefined ? {} : { alias: option.short }),
      ...(option.unit === null ? { boolean: true } : {}), // without it yargs writes the flag -0 as --0
      ...(option.choices === undefined ? {} : { choices: option.choices }),
      ...(isShown ? { defaultDescription: option.show(option.default) } : {}),
    })
  }
}

function environment(options: OptionTable): string[] {
  return Object.values(options).flatMap((option) =>
    option.flag === undefined ? [`${option.env}: ${option.help}`] : [],
  )
}
