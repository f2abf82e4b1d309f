import type { CommandGroup } from './command.ts'

/** Each command is loaded only when it runs. */
export const schemaCommands: CommandGroup = {
  summary: 'Show, set, remove and try the JSON Schema of a collection',
  commands: {
    get: async () => (await import('./schema-settings.ts')).schemaGetCommand,
    set: async () => (await import('./schema-settings.ts')).schemaSetCommand,
    drop: async () => (await import('./schema-settings.ts')).schemaDropCommand,
    check: async () => (await import('./schema-check.ts')).schemaCheckCommand,
  },
}
