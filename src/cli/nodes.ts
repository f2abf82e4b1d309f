import type { CommandGroup } from './command.ts'

/** Each command is loaded only when it runs. */
export const nodesCommands: CommandGroup = {
  summary: 'Show the targets of a mirror, the leader and the followers, and how far they have come',
  main: async () => (await import('./nodes-status.ts')).nodesStatusCommand,
  commands: {
    promote: async () => (await import('./nodes-promote.ts')).nodesPromoteCommand,
    compare: async () => (await import('./nodes-compare.ts')).nodesCompareCommand,
    sync: async () => (await import('./nodes-sync.ts')).nodesSyncCommand,
    conflicts: async () => (await import('./nodes-conflicts.ts')).nodesConflictsCommand,
  },
}
