import { type Environment, type Operand, type OptionTable, parseArguments, type Values } from '../options.ts'

/** The commands by name; a command's code is loaded on demand. */
export type CommandTable = Readonly<Record<string, () => Promise<CliCommand | CommandGroup>>>

/** Commands whose names begin with the same word, such as `token create`. */
export interface CommandGroup {
  readonly summary: string
  /** The command that runs when none of the group is named. */
  readonly main?: () => Promise<CliCommand>
  readonly commands: CommandTable
}

export function isGroup(entry: CliCommand | CommandGroup): entry is CommandGroup {
  return 'commands' in entry
}

/** A command of the program, with its help and its code, in one file. */
export interface CliCommand {
  readonly summary: string
  /** More lines for the help. */
  readonly notes?: string
  readonly operands: readonly Operand[]
  readonly options: OptionTable
  /** Runs the command and resolves with the exit code. Throws errors that `explain` describes. */
  main(args: readonly string[], env: Environment): Promise<number>
}

interface CommandParts<Table extends OptionTable> extends Omit<CliCommand, 'main'> {
  readonly options: Table
  run(values: Values<Table>, operands: readonly string[]): Promise<number>
}

/** Returns a command that parses its arguments before its code gets them. */
export function command<Table extends OptionTable>(name: string, parts: CommandParts<Table>): CliCommand {
  return {
    ...parts,
    main(args, env) {
      const { values, operands } = parseArguments(name, parts.options, parts.operands, args, env)
      return parts.run(values, operands)
    },
  }
}
