import type { CommandGroup } from './command.ts'

/** Each command is loaded only when it runs. */
export const engineCommands: CommandGroup = {
  summary: 'Show where the store is',
  commands: {
    status: async () => (await import('./engine-status.ts')).engineStatusCommand,
  },
}
