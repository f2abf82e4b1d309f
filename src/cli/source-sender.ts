import type { Kvist } from '../../sdk/client.ts'
import { sendLines } from './busy.ts'
import { addCounts, type ImportCounts, type ImportReport, noCounts } from './import-report.ts'

/** The size of a request: large enough that the pauses between requests do not count. */
const chunkBytes = 4 * 1024 * 1024

/** The end of a batch, where an import can resume, and how much of the source is before it. */
export interface BatchEnd {
  readonly cursor: string
  readonly position: number
}

/** Called when more is stored, with what it was, and with the batch that ends there; null within a batch. */
export type OnAcknowledged = (counts: ImportCounts, end: BatchEnd | null) => void

/**
 * Sends lines in requests of several megabytes, one after the other, so that the later of two lines with one key wins.
 * While one is on its way, the next is filled.
 */
export class SourceSender {
  private readonly kvist: Kvist | null
  private readonly report: ImportReport
  private readonly onAcknowledged: OnAcknowledged
  private collection = ''
  private lines: string[] = []
  private keys: string[] = []
  private bytes = 0
  private counts: ImportCounts = noCounts
  /** The last batch that ended since a request was sent. */
  private unsentEnd: BatchEnd | null = null
  private inFlight: Promise<void> | null = null

  /** With `kvist` null nothing is sent, and every line counts as stored. */
  constructor(kvist: Kvist | null, report: ImportReport, onAcknowledged: OnAcknowledged) {
    this.kvist = kvist
    this.report = report
    this.onAcknowledged = onAcknowledged
  }

  /** Counts an entry that is not sent. */
  count(counts: Partial<ImportCounts>): void {
    this.counts = addCounts(this.counts, { ...noCounts, ...counts })
  }

  /** Adds a line; waits while a request must be sent before it. */
  async add(collection: string, key: string, line: string): Promise<void> {
    const isOther = collection !== this.collection && this.lines.length > 0
    if (isOther || this.bytes + line.length > 2 * chunkBytes) await this.send(null)
    this.collection = collection
    this.lines.push(line)
    this.keys.push(key)
    this.bytes += line.length
  }

  /** Ends a batch: when what was added until now is stored, the import can resume at its cursor. */
  async endBatch(end: BatchEnd): Promise<void> {
    if (this.bytes >= chunkBytes || this.kvist === null) await this.send(end)
    else this.unsentEnd = end
  }

  /** Sends what is left, and waits until all is stored. */
  async end(): Promise<void> {
    await this.send(this.unsentEnd)
    await this.inFlight
  }

  private async send(end: BatchEnd | null): Promise<void> {
    await this.inFlight
    const { collection, lines, keys, counts } = this
    this.lines = []
    this.keys = []
    this.bytes = 0
    this.counts = noCounts
    this.unsentEnd = null
    this.inFlight = this.store(collection, lines, keys).then((stored) => {
      this.onAcknowledged(addCounts(counts, stored), end)
    })
    this.inFlight.catch(() => {}) // handled where it is awaited
  }

  private async store(
    collection: string,
    lines: readonly string[],
    keys: readonly string[],
  ): Promise<ImportCounts> {
    if (this.kvist === null || lines.length === 0) return { ...noCounts, stored: lines.length }
    const bytes = new Uint8Array(Buffer.from(lines.join('')))
    const {
      stored,
      failed,
      failed_more: unnamed = 0,
    } = await sendLines(this.kvist.collection(collection), bytes)
    const rejected: Record<string, number> = unnamed === 0 ? {} : { unnamed }
    for (const { line, code, detail } of failed) {
      rejected[code] = (rejected[code] ?? 0) + 1
      this.report.add(keys[line - 1] ?? '', code, detail)
    }
    return { ...noCounts, stored, rejected }
  }
}
