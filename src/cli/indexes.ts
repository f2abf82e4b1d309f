import type { CommandGroup } from './command.ts'

/** Each command is loaded only when it runs. */
export const indexCommands: CommandGroup = {
  summary: 'List, create and drop the indexes of a collection',
  commands: {
    list: async () => (await import('./index-list.ts')).indexListCommand,
    create: async () => (await import('./index-create.ts')).indexCreateCommand,
    drop: async () => (await import('./index-drop.ts')).indexDropCommand,
  },
}
