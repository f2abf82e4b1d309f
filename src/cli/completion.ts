import { type CliCommand, type CommandTable, command } from './command.ts'

export function completionCommand(commands: CommandTable): CliCommand {
  return command('completion', {
    summary: 'Print a script that completes commands and options in the shell',
    notes: 'For the shell that $SHELL names, bash, zsh or fish. In bash: kvist completion >> ~/.bashrc',
    operands: [],
    options: {},
    async run() {
      await (await import('./help.ts')).printCompletionScript(commands)
      return 0
    },
  })
}
