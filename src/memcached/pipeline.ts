import type { Principal } from '../auth/principal.ts'
import type { MaybePromise, Write, Written } from '../core/engine.ts'
import type { Member } from '../core/member.ts'
import { quotaExceeded } from '../core/quota.ts'
import { type MemberReader, maxReadTogether } from '../core/read-queue.ts'
import { keyOf, type Sender } from './audit.ts'
import { type Decided, type Decision, hasRules } from './change.ts'
import type { Command, FlushAll, Get } from './command.ts'
import type { Item } from './decide.ts'
import { refuse, refuseAndClose, responses } from './error-lines.ts'
import { execute } from './execute.ts'
import { failureLine, isOwnFault } from './failures.ts'
import { isUseful, missingPermission } from './permissions.ts'
import { plainWrite, respondPlain } from './plain-writes.ts'
import { CommandParser } from './protocol.ts'
import {
  endVisit,
  isPlainRead,
  isVisit,
  keysOf,
  maxUnsentBytes,
  type PlainRead,
  respondRead,
  visit,
} from './read.ts'
import { overMemoryLimit, type Session } from './state.ts'
import type { PendingWrite, WriteClient } from './write-batcher.ts'

/** The connection of a pipeline. */
export interface PipelineSession extends Session {
  /** Executes commands, sends their responses, and ends the connection when all is done. */
  run(): void
}

/** Limit of the bytes of one connection's uncommitted writes. */
const maxInFlightBytes = 4 * 1024 * 1024
/** The number of commands that are executed before other connections are served. */
const commandsPerTick = 2000
/** The approximate memory of a write besides its value. */
const writeBytes = 256

/**
 * The commands of one client. They take effect, and are responded to, in their order. Plain writes are sent to the
 * store without waiting for those before them, so that a pipeline of them shares commits with writes of other
 * connections; every other command waits until the writes before it are committed, and completes before the next one
 * begins.
 */
export class CommandPipeline implements WriteClient {
  private readonly session: PipelineSession
  /** Receives the input of the connection. */
  readonly parser: CommandParser
  principal: Principal
  /** A command was executed after the login. */
  wasServed = false
  /** No more commands are executed: the client sent quit, or its input cannot be parsed any further. */
  isEnded = false

  /** The number of plain writes that are not committed yet. */
  private inFlight = 0
  private inFlightBytes = 0
  /** Parsed commands that wait for those before them, the next one first. */
  private readonly deferred: Command[] = []
  /** A command is being executed. */
  private isBusy = false

  constructor(session: PipelineSession) {
    const { settings, authenticator, now } = session.server
    const { clientSubject } = session
    this.session = session
    this.parser = new CommandParser(settings.maxValueBytes)
    this.principal =
      clientSubject === null ? authenticator.stranger : authenticator.bySubject(clientSubject, now())
  }

  /**
   * Executes commands while there is room for their responses. Returns false when it stopped to let other connections
   * be served.
   */
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

  /** Abandons the value that is arriving, and refuses its command. Returns false without one. */
  abandonValue(response: string): boolean {
    const refused = this.parser.abandonValue(response)
    // It deletes the member that the value was to replace, which takes a permission like any other command.
    if (refused !== null) this.deferred.push(this.permitted(refused))
    return refused !== null
  }

  get isLoggedIn(): boolean {
    return this.principal.isAuthenticated
  }

  /** Whether there is input that can be processed. */
  get hasWaiting(): boolean {
    return this.deferred.length === 0 && this.parser.waitingBytes > 0 && this.canTake()
  }

  /** Whether a command is being executed or written. */
  get isWorking(): boolean {
    return this.isBusy || this.inFlight > 0
  }

  /** Whether all complete commands are done. */
  get isDone(): boolean {
    return !this.isWorking && this.deferred.length === 0 && this.parser.waitingBytes === 0
  }

  get heldBytes(): number {
    return this.parser.unfinishedBytes + this.parser.waitingBytes + this.inFlightBytes
  }

  written({ command, bytes }: PendingWrite, written: Written): void {
    this.inFlight--
    this.inFlightBytes -= bytes
    this.session.server.audit?.done(this.sender, command, keyOf(command), written.revision)
    respondPlain(this.session.out, this.session.server.counts, command, written)
  }

  failed({ command, bytes }: PendingWrite, error: unknown): void {
    this.inFlight--
    this.inFlightBytes -= bytes
    this.session.server.audit?.failed(this.sender, command, keyOf(command), error)
    this.fail(command, error)
  }

  batchDone(): void {
    this.session.run()
  }

  /** Makes the change of a command, and writes its line of the audit log. */
  change<Outcome>(
    command: Command,
    key: string,
    decide: (found: Item | null, nowMs: number) => Decision<Outcome>,
  ): Promise<Decided<Outcome>> {
    const { audit, change } = this.session.server
    if (audit === null) return change(key, decide)
    return this.audited(command, key, async () => {
      const decided = await change(key, decide)
      return [decided, decided.revision]
    })
  }

  /** Does the work of a command that returns a result and the revision written, and writes its line of the audit log. */
  private async audited<Result>(
    command: Command,
    key: string | null,
    work: () => Promise<readonly [Result, revision: number]>,
  ): Promise<Result> {
    const { audit } = this.session.server
    try {
      const [result, revision] = await work()
      audit?.done(this.sender, command, key, revision)
      return result
    } catch (error) {
      audit?.failed(this.sender, command, key, error)
      throw error
    }
  }

  private get sender(): Sender {
    const { address, network } = this.session
    return { principal: this.principal, address, network }
  }

  private canTake(): boolean {
    return !this.isBusy && !this.isEnded && this.session.out.unsentBytes < maxUnsentBytes
  }

  private nextCommand(): Command | null {
    const deferred = this.deferred.shift()
    if (deferred !== undefined) return deferred
    const command = this.parser.next()
    return command === null || command.kind === 'quit' ? command : this.permitted(this.withinRate(command))
  }

  /**
   * Counts a command against the rate of the client. Returns the command, or a refused one in its place when it was too
   * many: with others it has its response in its order, or none where the client wants no reply.
   */
  private withinRate(command: Command): Command {
    const { limits, limitCounts } = this.session.server
    const limit = limits === null ? null : limits.limitOf(this.principal)
    if (limits === null || limit === null) return command
    if (limits.take(limit, this.principal, this.session.network) >= 0) return command
    limitCounts.rateLimited++
    // Its input cannot be parsed any further, whatever the response is.
    if (command.kind === 'refused' && command.closes) return command
    this.session.server.audit?.refused(this.sender, command, responses.rateLimited)
    return refuse(responses.rateLimited, isSilent(command))
  }

  /** Returns the command, or a refused one in its place when the token does not grant it or has expired. */
  private permitted(command: Command): Command {
    const { principal } = this
    if (principal.permits.isEverything || !principal.isAuthenticated) return command
    const { collection, now } = this.session.server
    if (principal.expiresAtMs !== null && principal.expiresAtMs <= now())
      return refuseAndClose('CLIENT_ERROR unauthenticated')
    const missing = missingPermission(principal, collection, command)
    if (missing === null) return command
    const line = failureLine(missing)
    this.session.server.audit?.refused(this.sender, command, line)
    return refuse(line, isSilent(command))
  }

  /** Starts a command. Returns false when it must wait for the writes before it. */
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
    if (isVisit(command) && this.beginVisit(command)) return true
    if (isPlainRead(command)) this.beginReads(command)
    else if (write !== null) this.start(command, () => this.writeAlone(command, write))
    else if (command.kind === 'quit') this.isEnded = true
    else {
      this.start(command, () =>
        command.kind === 'flushAll' ? this.flush(command) : execute(this.session, command),
      )
      if (command.kind === 'refused' && command.closes) this.isEnded = true
    }
    return true
  }

  /** Responds to a command by a visit of its members; false where the store cannot be visited. */
  private beginVisit(command: Get): boolean {
    const visited = visit(this.session, command)
    if (visited !== null) this.start(command, () => endVisit(this.session, command, visited))
    return visited !== null
  }

  /** Reads the members of a command together with those of the reads that follow it, and of other connections. */
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

  /**
   * Responds to the commands whose members were read. Defers the others; when no command has all its members, the first
   * is executed alone.
   */
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
    const written = await this.audited(command, keyOf(command), async () => {
      const [written] = await db.write([write], durability)
      if (written!.notUnique !== undefined) throw written!.notUnique
      if (written!.exceeded !== undefined) throw quotaExceeded(written!.exceeded)
      return [written!, written!.revision]
    })
    respondPlain(this.session.out, counts, command, written)
  }

  private flush(command: FlushAll): Promise<void> {
    return this.audited(command, null, async () => [await execute(this.session, command), 0])
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

  /** Responds with an error line. As in memcached, a client that asked for no reply gets none. */
  private fail(command: Command, error: unknown): void {
    if (isOwnFault(error)) this.session.server.onError(error)
    if (!isSilent(command)) this.session.out.line(failureLine(error))
  }

  /** Handles a command before the login: only a login and quit are accepted. */
  private logIn(command: Command): void {
    const { counts, authenticator, collection, now } = this.session.server
    if (command.kind === 'quit') {
      this.isEnded = true
    } else if (command.kind === 'refused') {
      if (command.closes) this.isEnded = true
      if (!command.silent) this.session.out.line(command.response)
    } else if (command.kind !== 'store' || command.mode !== 'set') {
      this.refuseBeforeLogin(command, 'CLIENT_ERROR unauthenticated')
    } else {
      counts.auth_cmds++
      const token = tokenOf(command.value)
      const found = token === null ? null : authenticator.byToken(token, now())
      // A token that may do nothing with this collection is as good as none.
      if (found?.isAuthenticated && isUseful(found, collection)) {
        this.principal = found
        this.session.out.line('STORED')
      } else {
        this.refuseLogin()
      }
    }
  }

  private refuseLogin(): void {
    const { counts, limits, limitCounts } = this.session.server
    counts.auth_errors++
    const tooMany = limits?.wrongToken(this.session.network, limitCounts)
    const isTooMany = tooMany !== undefined && tooMany !== null
    this.refuseBeforeLogin(null, isTooMany ? responses.rateLimited : 'CLIENT_ERROR authentication failure')
  }

  private refuseBeforeLogin(command: Command | null, response: string): void {
    this.session.server.audit?.refused(this.sender, command, response)
    this.session.out.line(response)
  }
}

/** Whether a client that asked for no reply gets none to this command's error, as in memcached. */
function isSilent(command: Command): boolean {
  return ('noreply' in command && command.noreply) || (command.kind === 'refused' && command.silent)
}

/** Returns the token of a login, whose `set` has the value `<user> <token>`, with any user. Null when malformed. */
function tokenOf(value: Uint8Array): string | null {
  const text = Buffer.from(value).toString('latin1')
  return /^ *[\x21-\x7e]+ +([\x21-\x7e]+) *$/.exec(text)?.[1] ?? null
}
