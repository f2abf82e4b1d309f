import { RedisError, type WriteReply } from './cluster.ts'
import { ErrorReply, type RedisCommand, type Reply } from './resp.ts'
import type { ReplicatedRequest, Wait } from './server.ts'

/** How a reply of the server, or the lack of one, is followed up. */
export type Reaction =
  /** Another server has the slot by now. */
  | 'moved'
  /** Another server is about to get the slot, and has the key already. */
  | 'ask'
  /** The server does not have the script yet. */
  | 'script'
  /** The server cannot do it now; it or another will soon. */
  | 'later'
  /** As `later`; and the server is not, or not yet, the primary that it was taken for. */
  | 'elsewhere'

/** Errors after which nothing was done, by their first word; all others are reported to the caller. */
const reactions: Readonly<Record<string, Reaction>> = {
  MOVED: 'moved',
  ASK: 'ask',
  NOSCRIPT: 'script',
  TRYAGAIN: 'later',
  LOADING: 'later',
  BUSY: 'later',
  NOREPLICAS: 'later',
  CLUSTERDOWN: 'elsewhere',
  MASTERDOWN: 'elsewhere',
  READONLY: 'elsewhere',
}

/** Sends operations, and decides what to do about those that failed with nothing done. */
export interface CommandRouter {
  follow(operation: RoutedCommand, reaction: Reaction, reason: string): void
  readonly replicas: number
}

/** A command on its way to the primary of a slot, however often it has to be sent. */
export class RoutedCommand implements ReplicatedRequest {
  readonly slot: number
  command: RedisCommand
  readonly isWrite: boolean
  /** When to give up, on the monotonic clock; null until something has failed. */
  untilMs: number | null
  /** How often it was sent on at once, without a pause. */
  redirects = 0
  private readonly router: CommandRouter
  private readonly resolve: (reply: WriteReply | Reply) => void
  private readonly reject: (error: RedisError) => void
  private wait: Wait | null = null
  private reply: Reply | undefined

  constructor(
    router: CommandRouter,
    slot: number,
    command: RedisCommand,
    isWrite: boolean,
    untilMs: number | null,
    resolve: (reply: never) => void,
    reject: (error: RedisError) => void,
  ) {
    this.router = router
    this.slot = slot
    this.command = command
    this.isWrite = isWrite
    this.untilMs = untilMs
    this.resolve = resolve as (reply: WriteReply | Reply) => void
    this.reject = reject
  }

  replied(reply: Reply): void {
    if (reply instanceof ErrorReply) {
      this.wait = null
      const reaction = reactions[reply.code]
      if (reaction === undefined) this.reject(new RedisError('refused', reply.text, reply.code))
      else this.router.follow(this, reaction, reply.text)
    } else if (!this.isWrite) {
      this.resolve(reply)
    } else if (this.router.replicas === 0) {
      this.resolve({ reply, isReplicated: true })
    } else {
      this.reply = reply
    }
  }

  sentBefore(wait: Wait): void {
    this.wait = wait
  }

  acknowledged(by: Wait, isReplicated: boolean): void {
    if (by === this.wait && this.reply !== undefined) this.resolve({ reply: this.reply, isReplicated })
  }

  lost(isSent: boolean, why: string): void {
    this.wait = null
    if (this.isWrite && isSent) this.reject(new RedisError('maybe_done', why))
    else this.router.follow(this, 'elsewhere', why)
  }

  giveUp(why: string): void {
    this.reject(new RedisError('not_done', why))
  }
}
