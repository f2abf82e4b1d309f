import { type CliCommand, type CommandTable, isGroup } from './command.ts'
import { complain, explain } from './explain.ts'

/** Every command, in the order of the help. Each is loaded only when it runs, so that `serve` is ready at once. */
export const commands: CommandTable = {
  serve: async () => (await import('./serve.ts')).serveCommand,
  get: async () => (await import('./get.ts')).getCommand,
  put: async () => (await import('./put.ts')).putCommand,
  patch: async () => (await import('./patch.ts')).patchCommand,
  increment: async () => (await import('./increment.ts')).incrementCommand,
  touch: async () => (await import('./touch.ts')).touchCommand,
  delete: async () => (await import('./delete.ts')).deleteCommand,
  drop: async () => (await import('./drop.ts')).dropCommand,
  batch: async () => (await import('./batch.ts')).batchCommand,
  list: async () => (await import('./list.ts')).listCommand,
  find: async () => (await import('./find.ts')).findCommand,
  collections: async () => (await import('./collections.ts')).collectionsCommand,
  watch: async () => (await import('./watch.ts')).watchCommand,
  import: async () => (await import('./import.ts')).importCommand,
  export: async () => (await import('./export.ts')).exportCommand,
  backup: async () => (await import('./backup.ts')).backupCommand,
  restore: async () => (await import('./restore.ts')).restoreCommand,
  history: async () => (await import('./history.ts')).historyCommand,
  index: async () => (await import('./indexes.ts')).indexCommands,
  schema: async () => (await import('./schema.ts')).schemaCommands,
  token: async () => (await import('./token.ts')).tokenCommands,
  engine: async () => (await import('./engine.ts')).engineCommands,
  nodes: async () => (await import('./nodes.ts')).nodesCommands,
  mcp: async () => (await import('./mcp.ts')).mcpCommand,
  whoami: async () => (await import('./whoami.ts')).whoamiCommand,
  health: async () => (await import('./health.ts')).healthCommand,
  check: async () => (await import('./check.ts')).checkCommand,
  repair: async () => (await import('./repair.ts')).repairCommand,
  completion: async () => (await import('./completion.ts')).completionCommand(commands),
}

/** Runs the command that the arguments name and resolves with the exit code: 0 done, 1 failed, 2 bad usage. */
export async function runProgram(args: readonly string[]): Promise<number> {
  try {
    return await run(args)
  } catch (error) {
    const { line, exitCode } = explain(error)
    if (line !== '') complain(line)
    return exitCode
  }
}

async function run(words: readonly string[]): Promise<number> {
  const { command, args } = await find(commands, words)
  const options = args.slice(0, args.includes('--') ? args.indexOf('--') : args.length)
  const asksForHelp = options.includes('--help') || options.includes('-h')
  if (command !== null && !asksForHelp) return command.main(args, process.env)
  return (await import('./help.ts')).help(commands, words, asksForHelp)
}

/** Returns the command that the first words name, and what follows its name; null if they name none. */
async function find(
  table: CommandTable,
  [name = '', ...args]: readonly string[],
): Promise<{ command: CliCommand | null; args: readonly string[] }> {
  const entry = Object.hasOwn(table, name) ? await table[name]?.() : undefined
  if (entry === undefined) return { command: null, args: [name, ...args] }
  if (!isGroup(entry)) return { command: entry, args }
  const [next = ''] = args
  const isMain = entry.main !== undefined && (next === '' || next.startsWith('-'))
  return isMain ? { command: await entry.main!(), args } : find(entry.commands, args)
}
