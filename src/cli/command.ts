import { type Environment, type Operand, type OptionTable, parseArguments, type Values } from '../options.ts'

/** A command of the program: its help and its code, in one file of its own. */
export interface Command {
  readonly summary: string
  /** More lines for the help. */
  readonly notes?: string
  readonly operands: readonly Operand[]
  readonly options: OptionTable
  /** Resolves with the exit code; throws what `explain` puts into words. */
  main(args: readonly string[], env: Environment): Promise<number>
}

interface CommandParts<Table extends OptionTable> extends Omit<Command, 'main'> {
  readonly options: Table
  run(values: Values<Table>, operands: readonly string[]): Promise<number>
}

/** A command whose arguments are parsed before it sees them. */
export function command<Table extends OptionTable>(name: string, parts: CommandParts<Table>): Command {
  return {
    ...parts,
    main(args, env) {
      const { values, operands } = parseArguments(name, parts.options, parts.operands, args, env)
      return parts.run(values, operands)
    },
  }
}
