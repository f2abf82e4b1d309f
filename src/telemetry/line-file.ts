import { close, closeSync, fstatSync, fsync, openSync, readSync, write, writeSync } from 'node:fs'
import { promisify } from 'node:util'

/**
 * A file of lines that others rotate and that must not slow the server down. Lines are written in the background, in
 * their order; while the disk refuses them they wait in bounded memory, and those beyond it are lost. How many is a line
 * of its own, at the place where they would be, as soon as the file can be written again.
 */
export interface LineFile {
  /** Appends a line, given without its end. Neither throws nor waits. */
  append(line: string): void
  /** Goes on in a new file of the same name, after log rotation has renamed the old one. */
  reopen(): void
  /** Writes what is left, and resolves when it is on the disk or cannot be written. Lines after that are lost. */
  close(): Promise<void>
  readonly counts: Readonly<LineCounts>
}

export interface LineCounts {
  /** Lines that are in the file. */
  written: number
  lost: number
  /** Bytes that wait to be written. */
  waitingBytes: number
}

export interface LineFileOptions {
  readonly path: string
  /** Lines that wait may take this much memory. */
  readonly maxWaitingBytes: number
  /** How long lines may wait for others, to be written with them; 0: until the end of the tick. */
  readonly batchMs: number
  /** Returns the line that stands for lost ones. */
  readonly lostLine: (lines: number) => string
  /** Called when the file cannot be written or opened, and again every minute while that is so. */
  readonly onFault: (error: unknown) => void
  /** Called when it can be written again. */
  readonly onRecovery: () => void
  /** Tests make it fail. */
  readonly disk?: LineDisk
}

/** What a file of lines needs of the system. */
export interface LineDisk {
  /** Opens a file for appending, for its owner only if it is new. Ends a line that an earlier process began. */
  open(path: string): number
  /** Writes at the end, and returns how many of the bytes were taken. */
  write(fd: number, bytes: Uint8Array): Promise<number>
  sync(fd: number): Promise<void>
  close(fd: number): Promise<void>
  sleep(ms: number): Promise<void>
}

/** How much is written at once. */
const maxChunkBytes = 256 * 1024
const retryMs = 1000
const reportEvery = 60

/** Opens the file. Throws when it cannot be opened. */
export function openLineFile(options: LineFileOptions): LineFile {
  return new QueuedLines(options)
}

class QueuedLines implements LineFile {
  readonly counts: LineCounts = { written: 0, lost: 0, waitingBytes: 0 }
  private readonly options: LineFileOptions
  private readonly disk: LineDisk
  private fd: number
  private waiting: string[] = []
  /** What is being written: lines with their ends, the first of them without what is in the file already. */
  private chunk: Buffer | null = null
  private chunkLines = 0
  /** The beginning of the chunk's first line is in the file. */
  private isTorn = false
  /** Lines lost since the last one that is waiting. */
  private lost = 0
  private isReopening = false
  private isClosing = false
  private faults = 0
  private isRunning = false
  private running: Promise<void> = Promise.resolve()
  private wake = () => {}

  constructor(options: LineFileOptions) {
    this.options = options
    this.disk = options.disk ?? systemDisk
    this.fd = this.disk.open(options.path)
  }

  append(line: string): void {
    const bytes = Buffer.byteLength(line) + 1
    if (this.isClosing || this.counts.waitingBytes + bytes > this.options.maxWaitingBytes) {
      this.lost++
      this.counts.lost++
      return
    }
    this.noteLost()
    this.enqueue(line, bytes)
    this.run()
  }

  reopen(): void {
    if (this.isClosing) return
    this.isReopening = true
    this.wake()
    this.run()
  }

  async close(): Promise<void> {
    this.noteLost()
    this.isClosing = true
    this.wake()
    await this.running
    await this.disk.sync(this.fd).catch(() => {}) // a device or a pipe cannot be synced
    await this.disk.close(this.fd).catch(() => {})
  }

  private enqueue(line: string, bytes: number): void {
    this.waiting.push(`${line}\n`)
    this.counts.waitingBytes += bytes
  }

  /** Puts the number of lost lines where they would be. */
  private noteLost(): void {
    if (this.lost === 0) return
    const line = this.options.lostLine(this.lost)
    this.lost = 0
    this.enqueue(line, Buffer.byteLength(line) + 1)
  }

  private run(): void {
    if (this.isRunning) return
    this.isRunning = true
    this.running = this.batch().then(() => this.drain())
  }

  /** Waits until the lines that are to be written together have come, or the file is reopened or closed. */
  private async batch(): Promise<void> {
    const { batchMs } = this.options
    await new Promise<void>((resolve) => {
      if (batchMs === 0) setImmediate(resolve)
      else {
        const timer = setTimeout(resolve, batchMs)
        this.wake = () => {
          clearTimeout(timer)
          resolve()
        }
      }
    })
  }

  /** Writes all that waits. On a fault it tries again every second; when the file is being closed it gives up. */
  private async drain(): Promise<void> {
    for (;;) {
      try {
        if (this.isReopening) await this.openAnew()
        while (this.nextChunk()) await this.writeChunk()
        if (this.isReopening) continue
        this.recovered()
        if (this.lost > 0 && !this.isClosing) {
          this.noteLost()
          continue
        }
        this.isRunning = false
        return
      } catch (error) {
        this.report(error)
        if (this.isClosing) return this.giveUp()
        await Promise.race([this.disk.sleep(retryMs), new Promise<void>((resolve) => (this.wake = resolve))])
      }
    }
  }

  private nextChunk(): boolean {
    if (this.chunk !== null) return true
    if (this.waiting.length === 0 || this.isReopening) return false
    let lines = 0
    for (let chars = 0; lines < this.waiting.length && chars < maxChunkBytes; lines++) {
      chars += this.waiting[lines]!.length
    }
    this.chunk = Buffer.from(this.waiting.splice(0, lines).join(''))
    this.chunkLines = lines
    return true
  }

  private async writeChunk(): Promise<void> {
    const chunk = this.chunk!
    const bytes = await this.disk.write(this.fd, chunk)
    this.counts.waitingBytes -= bytes
    if (bytes === chunk.length) {
      this.counts.written += this.chunkLines
      this.chunk = null
      this.isTorn = false
      return
    }
    const ended = countLineEnds(chunk.subarray(0, bytes))
    this.counts.written += ended
    this.chunkLines -= ended
    this.chunk = chunk.subarray(bytes)
    if (bytes > 0) this.isTorn = chunk[bytes - 1] !== lineEnd
  }

  /** Opens the file anew, and closes the old one only then: what cannot be opened must not end what can be written. */
  private async openAnew(): Promise<void> {
    this.isReopening = false
    const old = this.fd
    try {
      this.fd = this.disk.open(this.options.path)
    } catch (error) {
      this.options.onFault(error)
      return
    }
    await this.disk.close(old).catch(() => {})
    if (this.isTorn) this.dropTornLine()
  }

  /** The rest of a line whose beginning is in the old file belongs nowhere. */
  private dropTornLine(): void {
    const rest = this.chunk!.indexOf(lineEnd) + 1
    this.counts.waitingBytes -= rest
    this.counts.lost++
    this.chunkLines--
    this.chunk = rest === this.chunk!.length ? null : this.chunk!.subarray(rest)
    this.isTorn = false
  }

  private report(error: unknown): void {
    if (this.faults++ % reportEvery === 0) this.options.onFault(error)
  }

  private recovered(): void {
    if (this.faults === 0) return
    this.faults = 0
    this.options.onRecovery()
  }

  private giveUp(): void {
    this.counts.lost += this.chunkLines + this.waiting.length
    this.counts.waitingBytes = 0
    this.waiting = []
    this.chunk = null
    this.chunkLines = 0
  }
}

const lineEnd = 0x0a

function countLineEnds(bytes: Uint8Array): number {
  return bytes.reduce((count, byte) => (byte === lineEnd ? count + 1 : count), 0)
}

const writeFd = promisify(write)

const systemDisk: LineDisk = {
  open(path) {
    const fd = openSync(path, 'a+', 0o600)
    try {
      if (isMidLine(fd)) writeSync(fd, '\n')
    } catch (error) {
      closeSync(fd)
      throw error
    }
    return fd
  },
  async write(fd, bytes) {
    return (await writeFd(fd, bytes)).bytesWritten
  },
  sync: promisify(fsync),
  close: promisify(close),
  sleep: Bun.sleep,
}

function isMidLine(fd: number): boolean {
  const stat = fstatSync(fd)
  if (!stat.isFile() || stat.size === 0) return false
  const last = Buffer.alloc(1)
  readSync(fd, last, 0, 1, stat.size - 1)
  return last[0] !== lineEnd
}
