import { type Environment, type Operand, type OptionTable, parseArguments, type Values } from '../options.ts'

/** The commands by name; the code of one is loaded when it is asked for. */
export type CommandTable = Readonly<Record<string, () => Promise<CliCommand>>>

/** A command of the program: its help and its code, in one file of its own. */
export interface CliCommand {
  readonly summary: string
  /** More lines for the help. */
  readonly notes?: string
  readonly operands: readonly Operand[]
  readonly options: OptionTable
  /** Resolves with the exit code; throws what `explain` puts into words. */
  main(args: readonly string[], env: Environment): Promise<number>
}

interface CommandParts<Table extends OptionTable> extends Omit<CliCommand, 'main'> {
  readonly options: Table
  run(values: Values<Table>, operands: readonly string[]): Promise<number>
}

/** A command whose arguments are parsed before it sees them. */
export function command<Table extends OptionTable>(name: string, parts: CommandParts<Table>): CliCommand {
  return {
    ...parts,
    main(args, env) {
      const { values, operands } = parseArguments(name, parts.options, parts.operands, args, env)
      return parts.run(values, operands)
    },
  }
}
