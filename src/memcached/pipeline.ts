import type { MaybePromise, Write, Written } from '../core/engine.ts'
import type { Member } from '../core/member.ts'
import { type MemberReader, maxReadTogether } from '../core/read-queue.ts'
import { hasRules } from './change.ts'
import type { Command } from './command.ts'
import { execute } from './execute.ts'
import { failureLine, isOwnFault } from './failures.ts'
import { plainWrite, respondPlain } from './plain-writes.ts'
import { CommandParser } from './protocol.ts'
import { isPlainRead, keysOf, maxUnsentBytes, type PlainRead, respondRead } from './read.ts'
import { overMemoryLimit, type Session } from './state.ts'
import type { PendingWrite, WriteClient } from './write-batcher.ts'

/** The connection of a pipeline. */
export interface PipelineSession extends Session {
  /** Takes commands, sends their responses, and ends the connection when all is done. */
  run(): void
}

/** What one connection may have on its way to the store. */
const maxInFlightBytes = 4 * 1024 * 1024
/** Commands that are taken before other connections are served. */
const commandsPerTick = 2000
/** What a write takes beside its value. */
const writeBytes = 256

/**
 * The commands of one client, which take effect in their order, and so do their responses. Plain writes are sent on without waiting
 * for those before them, so that a pipeline of them shares its way to disk with what other connections write; every
 * other command waits until the writes before it are done, and is done before the next one begins.
 */
export class CommandPipeline implements WriteClient {
  private readonly session: PipelineSession
  /** What came in goes to it. */
  readonly parser: CommandParser
  isLoggedIn: boolean
  /** A command of a client that is logged in was done. */
  wasServed = false
  /** No more commands are taken: the client said quit, or cannot be followed further. */
  isEnded = false

  /** Plain writes that are on their way to the store. */
  private inFlight = 0
  private inFlightBytes = 0
  /** Commands that were parsed and wait for those before them, the next one first. */
  private readonly deferred: Command[] = []
  /** A command is being executed. */
  private isBusy = false

  constructor(session: PipelineSession) {
    const { settings, isAuthorized } = session.server
    this.session = session
    this.parser = new CommandParser(settings.maxValueBytes)
    this.isLoggedIn = isAuthorized === null
  }

  /** Takes commands for as long as their responses find room. False when it stopped to let other connections be served. */
  take(): boolean {
    for (let count = 0; this.canTake(); count++) {
      if (count === commandsPerTick) return false
      const command = this.nextCommand()
      if (command === null) break
      if (!this.begin(command)) {
        this.deferred.unshift(command)
        break
      }
    }
    return true
  }

  /** Gives up the value that is coming in: the command that it is of is refused. False when none is. */
  abandonValue(response: string): boolean {
    const refused = this.parser.abandonValue(response)
    if (refused !== null) this.deferred.push(refused)
    return refused !== null
  }

  /** There are commands to take. */
  get hasWaiting(): boolean {
    return this.deferred.length === 0 && this.parser.waitingBytes > 0 && this.canTake()
  }

  /** A command is being executed or written. */
  get isWorking(): boolean {
    return this.isBusy || this.inFlight > 0
  }

  /** All that came in whole is done. */
  get isDone(): boolean {
    return !this.isWorking && this.deferred.length === 0 && this.parser.waitingBytes === 0
  }

  get heldBytes(): number {
    return this.parser.unfinishedBytes + this.parser.waitingBytes + this.inFlightBytes
  }

  written({ command, bytes }: PendingWrite, written: Written): void {
    this.inFlight--
    this.inFlightBytes -= bytes
    respondPlain(this.session.out, this.session.server.counts, command, written)
  }

  failed({ command, bytes }: PendingWrite, error: unknown): void {
    this.inFlight--
    this.inFlightBytes -= bytes
    this.fail(command, error)
  }

  batchDone(): void {
    this.session.run()
  }

  private canTake(): boolean {
    return !this.isBusy && !this.isEnded && this.session.out.unsentBytes < maxUnsentBytes
  }

  private nextCommand(): Command | null {
    return this.deferred.shift() ?? this.parser.next()
  }

  /** False when the command has to wait for the writes before it. */
  private begin(command: Command): boolean {
    if (!this.isLoggedIn) {
      this.logIn(command)
      return true
    }
    this.wasServed = true
    const { db, collection } = this.session.server
    const write = plainWrite(command, this.session.server)
    if (write !== null && !hasRules(db, collection)) return this.beginWrite(command, write)
    if (this.inFlight > 0) return false
    if (isPlainRead(command)) this.beginReads(command)
    else if (write !== null) this.start(command, () => this.writeAlone(command, write))
    else if (command.kind === 'quit') this.isEnded = true
    else {
      this.start(command, () => execute(this.session, command))
      if (command.kind === 'refused' && command.closes) this.isEnded = true
    }
    return true
  }

  /** Reads the members of a command together with those of the reads behind it, and of other connections. */
  private beginReads(first: PlainRead): void {
    const commands = [first]
    let keys = keysOf(first).length
    for (let next = this.nextCommand(); next !== null; next = this.nextCommand()) {
      if (!isPlainRead(next) || keys + keysOf(next).length > maxReadTogether) {
        this.deferred.unshift(next)
        break
      }
      commands.push(next)
      keys += keysOf(next).length
    }
    const { collection, reads } = this.session.server
    const reader: MemberReader = {
      found: (members, from, count) => this.respondReads(commands, members, from, from + count),
    }
    this.isBusy = true
    for (const command of commands) {
      for (const key of keysOf(command)) reads.add({ collection, key }, reader)
    }
  }

  /** Responds to commands as far as their members were read; the others are taken again, the first of all by itself. */
  private respondReads(
    commands: readonly PlainRead[],
    members: readonly (Member | null)[],
    from: number,
    to: number,
  ): void {
    this.isBusy = false
    let done = 0
    for (let at = from; done < commands.length && !this.isBusy; done++) {
      const command = commands[done]!
      const first = at
      at += keysOf(command).length
      if (at > to) break
      this.start(command, () => respondRead(this.session, command, members, first))
    }
    if (done === 0) this.start(commands[done++]!, () => execute(this.session, commands[0]!))
    this.deferred.unshift(...commands.slice(done))
    this.session.run()
  }

  private beginWrite(command: Command, write: Write): boolean {
    const bytes = writeBytes + (write.op === 'put' ? write.value.length : 0)
    const isTooMuch = this.inFlightBytes + bytes > maxInFlightBytes || overMemoryLimit(this.session.server)
    if (this.inFlight > 0 && isTooMuch) return false
    this.inFlight++
    this.inFlightBytes += bytes
    this.session.server.writes.add({ command, write, bytes, client: this })
    return true
  }

  private async writeAlone(command: Command, write: Write): Promise<void> {
    const { db, durability, counts } = this.session.server
    const [written] = await db.write([write], durability)
    respondPlain(this.session.out, counts, command, written!)
  }

  private start(command: Command, execute: () => MaybePromise<void>): void {
    try {
      const doing = execute()
      if (!(doing instanceof Promise)) return
      this.isBusy = true
      doing
        .catch((error) => this.fail(command, error))
        .then(() => {
          this.isBusy = false
          this.session.run()
        })
    } catch (error) {
      this.fail(command, error)
    }
  }

  /** As in memcached, a client that asked for no reply gets no failure either. */
  private fail(command: Command, error: unknown): void {
    if (isOwnFault(error)) this.session.server.onError(error)
    const silent = ('noreply' in command && command.noreply) || (command.kind === 'refused' && command.silent)
    if (!silent) this.session.out.line(failureLine(error))
  }

  /** Nothing else is done until the client has logged in. */
  private logIn(command: Command): void {
    const { counts, isAuthorized } = this.session.server
    if (command.kind === 'quit') {
      this.isEnded = true
    } else if (command.kind === 'refused') {
      if (command.closes) this.isEnded = true
      this.session.out.line(command.response)
    } else if (command.kind !== 'store' || command.mode !== 'set') {
      this.session.out.line('CLIENT_ERROR unauthenticated')
    } else {
      counts.auth_cmds++
      const token = tokenOf(command.value)
      this.isLoggedIn = token !== null && (isAuthorized?.(token) ?? true)
      if (!this.isLoggedIn) counts.auth_errors++
      this.session.out.line(this.isLoggedIn ? 'STORED' : 'CLIENT_ERROR authentication failure')
    }
  }
}

/** The token of a login: the value of a `set` is `<user> <token>`, with any user. Null where it is not that. */
function tokenOf(value: Uint8Array): string | null {
  const text = Buffer.from(value).toString('latin1')
  return /^ *[\x21-\x7e]+ +([\x21-\x7e]+) *$/.exec(text)?.[1] ?? null
}
