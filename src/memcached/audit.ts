import { type Principal, tokenIdOf } from '../auth/principal.ts'
import type { AuditEntry, AuditLog } from '../telemetry/audit-log.ts'
import type { Command } from './command.ts'
import { failureLine } from './failures.ts'

/** Who sends the commands of a connection. */
export interface Sender {
  readonly principal: Principal
  readonly address: string
  readonly network: string
}

/** Adds a line to the audit log for each key that a command may have written, and for each command that was refused. */
export class CommandAudit {
  private readonly log: AuditLog
  private readonly collection: string

  constructor(log: AuditLog, collection: string) {
    this.log = log
    this.collection = collection
  }

  /** The command was executed; revision 0 where it wrote nothing, such as an `add` of a key that exists. */
  done(sender: Sender, command: Command, key: string | null, revision: number): void {
    this.log.write(this.entryOf(sender, nameOf(command), key, 'ok', revision))
  }

  failed(sender: Sender, command: Command, key: string | null, error: unknown): void {
    this.log.write(this.entryOf(sender, nameOf(command), key, failureLine(error), 0))
  }

  /** The command was refused for what its sender is, may do or has sent; null for a login, whose key may be a secret. */
  refused(sender: Sender, command: Command | null, response: string): void {
    const entry =
      command === null
        ? this.entryOf(sender, 'login', null, response, 0)
        : this.entryOf(sender, nameOf(command), keyOf(command), response, 0)
    this.log.refused(sender.network, entry)
  }

  private entryOf(
    { principal, address }: Sender,
    command: string | null,
    key: string | null,
    status: string,
    revision: number,
  ): AuditEntry {
    const token = tokenIdOf(principal)
    return {
      protocol: 'memcached',
      principal: principal.name,
      ...(token === null ? {} : { token }),
      client: address,
      command,
      collection: this.collection,
      key,
      status,
      revision: revision === 0 ? null : revision,
    }
  }
}

/** The name of a command as clients send it; null for one that could not be parsed. */
function nameOf(command: Command): string | null {
  switch (command.kind) {
    case 'store':
      return command.mode
    case 'count':
      return command.up ? 'incr' : 'decr'
    case 'get':
      return `${command.touch === null ? 'get' : 'gat'}${command.withCas ? 's' : ''}`
    case 'refused':
      return command.drops === null ? null : 'set'
    default:
      return names[command.kind]
  }
}

const names = {
  delete: 'delete',
  touch: 'touch',
  flushAll: 'flush_all',
  verbosity: 'verbosity',
  version: 'version',
  stats: 'stats',
  quit: 'quit',
  metaGet: 'mg',
  metaStore: 'ms',
  metaDelete: 'md',
  metaCount: 'ma',
  metaDebug: 'me',
  metaNoop: 'mn',
} as const

/** The key of a command, of several the first. */
export function keyOf(command: Command): string | null {
  if (command.kind === 'refused') return command.drops
  if (command.kind === 'get') return command.keys[0] ?? null
  return 'key' in command ? command.key : null
}
