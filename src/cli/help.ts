import yargs, { type Argv } from 'yargs'
import manifest from '../../package.json' with { type: 'json' }
import { type Operand, type OptionTable, quote, refuse } from '../options.ts'
import type { CommandTable } from './command.ts'
import { print } from './output.ts'

/**
 * Prints help and shell completion, which yargs generates from the tables of the commands. It does not parse arguments
 * for commands.
 */

const completionFlag = '--get-yargs-completions' // the shell scripts of yargs call it

/** Handles arguments that name no command, or contain --help. Resolves with the exit code. */
export async function help(commands: CommandTable, name: string, args: readonly string[]): Promise<number> {
  switch (name) {
    case '':
      process.stderr.write(await helpOn(commands, []))
      return 2
    case '--version':
      await print(`kvist ${manifest.version}\n`)
      return 0
    case completionFlag:
      await (await describe(commands, [name, ...args])).parseAsync() // prints, and ends the program
      return 0
    case 'help':
    case '--help':
    case '-h':
      await print(await helpOn(commands, args))
      return 0
    default:
      if (!Object.hasOwn(commands, name)) refuse(`there is no command ${quote(name)}: see kvist --help`)
      await print(await helpOn(commands, [name]))
      return 0
  }
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
  for (const [name, load] of Object.entries(commands)) {
    const { summary, notes = '', operands, options } = await load()
    const usage = [name, ...operands.map(usageOf)].join(' ')
    parser.command(usage, summary, (command) => {
      command
        .usage(`$0 ${usage}\n\n${summary}.`)
        .epilogue([notes, ...environment(options)].join('\n\n').trim())
      for (const { name, help } of operands) command.positional(name, { describe: help })
      describeOptions(command, options)
      return command
    })
  }
  return parser
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
