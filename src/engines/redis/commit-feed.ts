import type { Committed } from '../../core/member.ts'
import type { StopTimer, Timers } from '../../core/timers.ts'

/**
 * Reports the commits of all front ends, each line's in order and once. A commit is published on its line's channel
 * with the revisions of the line before and after it:
 *
 * - `before` is what was reported last: it is the next one, and is reported as it is.
 * - `before` is larger: messages were missed, and the line's log is read from what was reported on.
 * - `before` is smaller, `after` larger: the line went on from an older state. What was reported since is lost.
 *
 * Missed messages, and changes that were lost without a later commit, are found by comparing heads: every second, and
 * whenever a channel is subscribed again. Messages that arrive while a log is being read are dropped, because the read
 * or the next one covers them.
 */

/** A commit as its line's channel or the reply to its own server reports it. */
export interface PublishedCommit {
  /** The line's revision before the commit, and after it. The same for renewals alone. */
  readonly before: number
  readonly after: number
  /** Null where they are too large to be published: they are read from the log. */
  readonly changes: readonly Committed[] | null
}

/** A message about a commit of this front end. */
export interface OwnCommit {
  readonly before: number
  readonly after: number
  /** Decodes the changes without renewals. */
  readonly changes: () => readonly Committed[] | null
}

/** A part of a line's log. */
export interface LogPage {
  /**
   * The revision from which it was asked for is lost, or tombstones after it were deleted: what was derived from
   * earlier reports cannot be brought up to date. `changes` is empty then, and `through` is the head.
   */
  readonly isLost: boolean
  /** The latest change of each member, sorted by revision. */
  readonly changes: readonly Committed[]
  /** Everything up to this revision is in this page or in those before it; at the end, the head. */
  readonly through: number
  /** The line's revision when the page was read. */
  readonly head: number
  readonly atEnd: boolean
}

/** What the engine knows of its lines. */
export interface LineSource {
  /** Returns the revision of the line's last commit. */
  readHead(line: number): Promise<number>
  /**
   * Reads on after a revision. `seenHead` is the largest head of the pages before, 0 without any. If it is lost so is
   * the reader: a page leaves out a change that a later one overwrote, and when the later one is lost the older is back.
   */
  readLog(line: number, after: number, seenHead: number): Promise<LogPage>
  /**
   * Called with changes of a line, in order; its reported revision is `through` afterwards. `seenHead` is the largest head of the log
   * that they were read from, which left out what was overwritten; 0 if they are those of a commit.
   */
  report(line: number, changes: readonly Committed[], through: number, seenHead: number): void
  /** Called when changes that were reported have been lost; what the line has now is reported up to `through`. */
  setback(line: number, through: number): void
}

/** How often heads are compared. */
const pollMs = 1000
/** A message that is this late is taken for lost. */
const lateMs = 20

interface Line {
  /** The revision up to which changes were reported. */
  reported: number
  /** The largest revision of a message that was dropped while the log was read; 0 for none. */
  dropped: number
  isReading: boolean
  /** The head of the last page where the log was not read to its end; 0 where it was. */
  seenHead: number
  /** A message that is the next one, of a commit whose reply has not arrived. */
  own: OwnCommit | null
  /** Callers that read a later revision, in any order. */
  waiting: Waiting[]
  stopLate: StopTimer | null
}

interface Waiting {
  readonly revision: number
  readonly resolve: () => void
}

export class CommitFeed {
  private readonly source: LineSource
  private readonly timers: Timers
  private readonly lines: Line[]
  private readonly noHeads: readonly number[]
  private stopPolls: StopTimer = () => {}
  private isClosed = false

  constructor(source: LineSource, timers: Timers, lineCount: number) {
    this.source = source
    this.timers = timers
    this.noHeads = Array.from({ length: lineCount }, () => 0)
    this.lines = Array.from({ length: lineCount }, () => ({
      reported: 0,
      dropped: 0,
      // Messages are dropped until `start` has read the heads.
      isReading: true,
      seenHead: 0,
      own: null,
      waiting: [],
      stopLate: null,
    }))
  }

  /** Begins at the present heads. Call it when all channels are subscribed. */
  async start(): Promise<void> {
    await Promise.all(
      this.lines.map(async (line, index) => {
        line.reported = await this.source.readHead(index)
        line.isReading = false
        if (line.dropped > line.reported) void this.catchUp(index)
      }),
    )
    this.stopPolls = this.timers.every(pollMs, () => {
      for (const index of this.lines.keys()) void this.compareHead(index)
    })
  }

  /** The revision up to which a line's changes were reported. */
  reported(line: number): number {
    return this.lines[line]!.reported
  }

  /** The revisions up to which changes of the lines were reported. */
  allReported(): number[] {
    return this.lines.map(({ reported }) => reported)
  }

  /** Of each line whose log is being read, the largest head of the pages that were read; 0 of the others. */
  seenHeads(): readonly number[] {
    return this.lines.some(isCatchingUp) ? this.lines.map(({ seenHead }) => seenHead) : this.noHeads
  }

  /** Takes a message of a line's channel. */
  received(index: number, { before, after, changes }: PublishedCommit): void {
    const line = this.lines[index]!
    this.reportOwn(index, line)
    if (line.isReading) {
      line.dropped = Math.max(line.dropped, after)
    } else if (isNext(line, before) && changes !== null) {
      this.source.report(index, changes, after, 0)
      this.advance(line, after)
    } else if (after > line.reported) {
      // Lost changes are among what the log says.
      void this.catchUp(index)
    }
  }

  /**
   * Takes a message about a commit of this front end. The reply to the commit has its changes too, and is about to
   * arrive, so the message is decoded only if something needs them before.
   */
  receivedOwn(index: number, own: OwnCommit): void {
    const line = this.lines[index]!
    this.reportOwn(index, line)
    if (isNext(line, own.before)) line.own = own
    else this.received(index, { before: own.before, after: own.after, changes: null })
  }

  /**
   * Reports a commit of this front end, before it resolves. Returns a promise where earlier commits to the line have to
   * be reported first; its renewals, which no log has, are reported then.
   */
  committed(index: number, commit: PublishedCommit): Promise<void> | null {
    const line = this.lines[index]!
    if (line.own?.after === commit.after) line.own = null
    else this.reportOwn(index, line)
    const isReported = isNext(line, commit.before) && commit.changes !== null
    this.received(index, commit)
    if (isReported) return null
    const reported = this.whenReported(index, commit.after)
    const renewals = (commit.changes ?? []).filter(({ type }) => type === 'renew')
    if (renewals.length === 0) return reported
    return (reported ?? Promise.resolve()).then(() => this.source.report(index, renewals, line.reported, 0))
  }

  /** Resolves when changes up to a revision were reported, or were lost; null if they were reported already. */
  whenReported(index: number, revision: number): Promise<void> | null {
    const line = this.lines[index]!
    if (revision > line.reported) this.reportOwn(index, line)
    if (revision <= line.reported || this.isClosed) return null
    this.expect(index, line)
    return new Promise((resolve) => line.waiting.push({ revision, resolve }))
  }

  /** The line's channel was subscribed, perhaps again: messages may have been missed. */
  subscribed(index: number): void {
    void this.compareHead(index)
  }

  close(): void {
    this.isClosed = true
    this.stopPolls()
    for (const line of this.lines) {
      line.stopLate?.()
      this.release(line, () => true)
    }
  }

  private reportOwn(index: number, line: Line): void {
    const { own } = line
    if (own === null) return
    line.own = null
    this.received(index, { before: own.before, after: own.after, changes: own.changes() })
  }

  private async compareHead(index: number): Promise<void> {
    const line = this.lines[index]!
    if (line.isReading || this.isClosed) return
    const { reported } = line
    let head: number
    try {
      head = await this.source.readHead(index)
    } catch {
      // The line is out of reach. The next poll tries again.
      return
    }
    if (this.isClosed || line.isReading) return
    if (head > line.reported) this.reportOwn(index, line)
    if (head > line.reported || line.seenHead > 0) this.expect(index, line)
    // What was reported before the head was read must be in it.
    if (head < reported && reported === line.reported) this.setBack(index, head)
  }

  /** Reads the log unless messages bring the line forward in time. */
  private expect(index: number, line: Line): void {
    const { reported } = line
    line.stopLate ??= this.timers.after(lateMs, () => {
      line.stopLate = null
      if (line.reported === reported || line.waiting.length > 0) void this.catchUp(index)
    })
  }

  private async catchUp(index: number): Promise<void> {
    const line = this.lines[index]!
    if (line.isReading || this.isClosed) return
    line.isReading = true
    line.own = null
    try {
      let atEnd = false
      while (!atEnd || line.dropped > line.reported) {
        line.dropped = 0
        atEnd = await this.readPage(index, line)
      }
    } catch {
      // The line is out of reach. The next poll, or whoever waits, begins again.
    } finally {
      line.isReading = false
      if (line.waiting.length > 0 && !this.isClosed) this.expect(index, line)
    }
  }

  /** Reads a page and reports it; returns whether it was the last one. */
  private async readPage(index: number, line: Line): Promise<boolean> {
    const waitedBefore = new Set(line.waiting)
    const { reported, seenHead } = line
    const { isLost, changes, through, head, atEnd } = await this.source.readLog(index, reported, seenHead)
    if (this.isClosed) return true
    if (isLost || through < reported) {
      this.setBack(index, through)
      return true
    }
    line.seenHead = atEnd ? 0 : Math.max(head, seenHead)
    this.source.report(index, changes, through, Math.max(head, seenHead))
    this.advance(line, through)
    // A revision that was read before the log, and is not in it, is lost.
    if (atEnd) this.release(line, (one) => waitedBefore.has(one))
    return atEnd
  }

  private setBack(index: number, through: number): void {
    const line = this.lines[index]!
    line.reported = through
    line.seenHead = 0
    line.own = null
    this.source.setback(index, through)
    this.release(line, () => true)
  }

  private advance(line: Line, through: number): void {
    line.reported = through
    if (line.waiting.length > 0) this.release(line, ({ revision }) => revision <= through)
  }

  private release(line: Line, isDone: (one: Waiting) => boolean): void {
    const { waiting } = line
    line.waiting = waiting.filter((one) => !isDone(one))
    for (const one of waiting) if (isDone(one)) one.resolve()
  }
}

function isCatchingUp({ seenHead }: Line): boolean {
  return seenHead > 0
}

function isNext({ isReading, seenHead, reported }: Line, before: number): boolean {
  return !isReading && seenHead === 0 && before === reported
}
