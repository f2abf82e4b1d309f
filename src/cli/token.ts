import type { CommandGroup } from './command.ts'

/** Each command is loaded only when it runs. */
export const tokenCommands: CommandGroup = {
  summary: 'Create, list and revoke tokens',
  commands: {
    create: async () => (await import('./token-create.ts')).tokenCreateCommand,
    list: async () => (await import('./token-list.ts')).tokenListCommand,
    revoke: async () => (await import('./token-revoke.ts')).tokenRevokeCommand,
  },
}
