import { isExpired } from '../../../src/core/member.ts'
import { AccessTable } from '../../../src/memcached/access-table.ts'
import type {
  Command,
  Count,
  Get,
  MetaCount,
  MetaGet,
  MetaStore,
  StoreCommand,
} from '../../../src/memcached/command.ts'
import {
  clientFlags,
  decideCount,
  decideMetaDelete,
  decideMetaGet,
  decideStore,
  type Item,
  type ItemWrite,
  touched,
} from '../../../src/memcached/decide.ts'
import { responses as lines } from '../../../src/memcached/error-lines.ts'
import {
  respondMetaCounted,
  respondMetaDebug,
  respondMetaDelete,
  respondMetaHit,
  respondMetaMiss,
  respondMetaNotCounted,
  respondMetaStore,
} from '../../../src/memcached/meta-responses.ts'
import { CommandParser } from '../../../src/memcached/protocol.ts'
import { Responses } from '../../../src/memcached/responses.ts'

/** A whole memcached in a Map, to hold the protocol against the recorded responses of a real one. */
export class ToyServer {
  nowMs = 1_800_000_000_000
  readonly accesses = new AccessTable({ seconds: 0 })
  readonly items = new Map<string, Item>()
  private readonly maxValueBytes: number
  private readonly touchRenews: boolean
  /** Above the small numbers that tests try for a cas unique which matches nothing. */
  private revision = 1000

  /**
   * A touch and a mark leave the revision alone, as memcached leaves the cas unique; with `touchRenews` they do not, as
   * in kvist, where every write has a revision of its own.
   */
  constructor(maxValueBytes: number, touchRenews = false) {
    this.maxValueBytes = maxValueBytes
    this.touchRenews = touchRenews
  }

  connect(): ToyConnection {
    return new ToyConnection(this, this.maxValueBytes)
  }

  find(key: string): Item | null {
    const item = this.items.get(key)
    return item === undefined || isExpired(item, this.nowMs) ? null : item
  }

  /** `keep` is the item that is only touched or marked. */
  write(key: string, write: ItemWrite, keep: Item | null = null): Item {
    const keeps = keep !== null && !this.touchRenews
    if (!keeps) this.revision++
    const item = {
      ...write,
      revision: keeps ? keep.revision : this.revision,
      writtenAtMs: this.nowMs,
    }
    this.items.set(key, item)
    return item
  }
}

export class ToyConnection {
  closed = false
  private readonly server: ToyServer
  private readonly maxValueBytes: number
  private readonly parser: CommandParser
  private said = ''
  private readonly out = new Responses({
    unsentBytes: 0,
    bytes: (part) => {
      this.said += Buffer.from(part.buffer, part.byteOffset, part.length).toString('latin1')
    },
  })

  constructor(server: ToyServer, maxValueBytes: number) {
    this.server = server
    this.maxValueBytes = maxValueBytes
    this.parser = new CommandParser(maxValueBytes)
  }

  /** What the server says to these bytes, byte for letter. */
  ask(bytes: Uint8Array): string {
    this.parser.push(bytes)
    for (let command = this.parser.next(); command !== null; command = this.parser.next()) this.run(command)
    this.out.flush()
    const { said } = this
    this.said = ''
    return said
  }

  private run(command: Command): void {
    const { out, server } = this
    switch (command.kind) {
      case 'get':
        this.get(command)
        break
      case 'store':
      case 'metaStore':
        this.store(command)
        break
      case 'delete':
        this.reply(command.noreply, this.remove(command.key) ? 'DELETED' : 'NOT_FOUND')
        break
      case 'count':
        this.count(command)
        break
      case 'touch': {
        const found = server.find(command.key)
        if (found !== null) {
          const write = touched(found, command.exptime, server.nowMs)
          server.accesses.record(server.write(command.key, write, found).revision)
        }
        this.reply(command.noreply, found === null ? 'NOT_FOUND' : 'TOUCHED')
        break
      }
      case 'flushAll':
        server.items.clear()
        this.reply(command.noreply, 'OK')
        break
      case 'verbosity':
        this.reply(command.noreply, 'OK')
        break
      case 'version':
        out.line('VERSION 1.6.18')
        break
      case 'stats':
        if (command.args.length === 0) out.endOfList()
        else out.line(command.args[0] === 'reset' ? 'RESET' : lines.unknown)
        break
      case 'quit':
        this.closed = true
        break
      case 'metaGet':
        this.metaGet(command)
        break
      case 'metaDelete': {
        const outcome = decideMetaDelete(command, server.find(command.key), server.nowMs)
        if (outcome.status === 'deleted') this.remove(command.key)
        if (outcome.status === 'changed') {
          const before = server.find(command.key)?.revision ?? 0
          const { revision } = server.write(command.key, outcome.write)
          if (!command.removeValue) server.accesses.carry(before, revision)
        }
        respondMetaDelete(out, command, outcome.status)
        break
      }
      case 'metaCount':
        this.metaCount(command)
        break
      case 'metaDebug': {
        const found = server.find(command.key)
        if (found === null) out.line('EN')
        else respondMetaDebug(out, command, found, server.accesses.secondsAgo(found.revision), server.nowMs)
        break
      }
      case 'metaNoop':
        out.line('MN')
        break
      case 'refused':
        if (command.drops !== null) this.remove(command.drops)
        this.closed ||= command.closes
        this.reply(command.silent, command.response)
        break
      default:
        command satisfies never
    }
  }

  private reply(quiet: boolean, line: string): void {
    if (!quiet) this.out.line(line)
  }

  private remove(key: string): boolean {
    const found = this.server.find(key) !== null
    this.server.items.delete(key)
    return found
  }

  private get(command: Get): void {
    const { out, server } = this
    for (const key of command.keys) {
      const found = server.find(key)
      if (found === null) continue
      const item =
        command.touch === null ? found : server.write(key, touched(found, command.touch, server.nowMs), found)
      out.value(key, clientFlags(item.flags), item.value, command.withCas ? item.revision : null)
      server.accesses.record(item.revision)
    }
    out.endOfList()
  }

  private store(command: StoreCommand | MetaStore): void {
    const { out, server } = this
    const outcome = decideStore(command, server.find(command.key), server.nowMs, this.maxValueBytes)
    const stored = outcome.status === 'stored' ? server.write(command.key, outcome.write) : null
    if (command.kind === 'metaStore') {
      const bytes = stored === null ? command.value.length : stored.value.length
      respondMetaStore(out, command, outcome.status, stored?.revision ?? 0, bytes)
    } else {
      const said = { stored: 'STORED', notStored: 'NOT_STORED', exists: 'EXISTS', notFound: 'NOT_FOUND' }
      this.reply(command.noreply, said[outcome.status])
    }
  }

  private count(command: Count): void {
    const { server } = this
    const outcome = decideCount(command, server.find(command.key), server.nowMs)
    if (outcome.status === 'counted') {
      const before = server.find(command.key)?.revision ?? 0
      server.accesses.carry(before, server.write(command.key, outcome.write).revision)
      this.reply(command.noreply, String(outcome.number))
    } else {
      this.reply(command.noreply, outcome.status === 'notFound' ? 'NOT_FOUND' : lines.notANumber)
    }
  }

  private metaGet(command: MetaGet): void {
    const { out, server } = this
    const outcome = decideMetaGet(command, server.find(command.key), server.nowMs)
    if (outcome.status === 'miss') {
      respondMetaMiss(out, command)
      return
    }
    const { write, created } = outcome
    const written = write === null ? null : server.write(command.key, write, created ? null : outcome.item)
    const item = { ...outcome.item, revision: written?.revision ?? outcome.item.revision }
    const fetchedSecondsAgo = server.accesses.secondsAgo(outcome.item.revision)
    respondMetaHit(out, command, { ...outcome, item }, fetchedSecondsAgo, server.nowMs)
    if (command.recordsAccess) server.accesses.record(item.revision)
    else server.accesses.carry(outcome.item.revision, item.revision)
  }

  private metaCount(command: MetaCount): void {
    const { out, server } = this
    const found = server.find(command.key)
    const outcome = decideCount(command, found, server.nowMs)
    if (outcome.status === 'counted') {
      const { revision } = server.write(command.key, outcome.write)
      server.accesses.carry(found?.revision ?? 0, revision)
      const item = { ...outcome.write, expiresAtMs: found?.expiresAtMs ?? null, revision, writtenAtMs: 0 }
      respondMetaCounted(out, command, { item, created: outcome.created }, outcome.number, server.nowMs)
    } else if (outcome.status === 'notANumber') {
      out.line(lines.notANumber)
    } else {
      respondMetaNotCounted(out, command, outcome.status)
    }
  }
}
