/**
 * Tracks the frames of Zstandard (RFC 8878, 3.1) without decoding them, because the runtime's decoder accepts data that
 * ends in the middle of a frame. The content of the blocks is checked by the decoder.
 */

const frameMagic = 0xfd2fb528
/** Sixteen magic numbers, which differ in their last four bits. */
const skippableMagic = 0x184d2a50
const dictionaryIdBytes = [0, 1, 2, 4]
const contentSizeBytes = [0, 2, 4, 8]

type Step = 'magic' | 'skippable size' | 'descriptor' | 'block'

export class ZstdFrames {
  /** The element whose bytes are being collected, after `skipBytes` bytes are skipped. */
  private step: Step = 'magic'
  private skipBytes = 0
  private readonly collected: number[] = []
  private hasChecksum = false
  private frames = 0
  private isBroken = false

  /** Whether the data may end here: after a frame, and with every frame well formed. */
  get isComplete(): boolean {
    const isBetween = this.step === 'magic' && this.collected.length === 0 && this.skipBytes === 0
    return isBetween && this.frames > 0 && !this.isBroken
  }

  push(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length && !this.isBroken; ) {
      if (this.skipBytes > 0) {
        const skipped = Math.min(this.skipBytes, bytes.length - at)
        this.skipBytes -= skipped
        at += skipped
        continue
      }
      this.collected.push(bytes[at++]!)
      if (this.collected.length === stepBytes[this.step]) this.take()
    }
  }

  private take(): void {
    const value = this.collected.reduce((sum, byte, i) => sum + byte * 256 ** i, 0)
    this.collected.length = 0
    if (this.step === 'magic') this.takeMagic(value)
    else if (this.step === 'descriptor') this.takeDescriptor(value)
    else if (this.step === 'block') this.takeBlock(value)
    else this.endFrame(value)
  }

  private takeMagic(magic: number): void {
    if (magic === frameMagic) this.step = 'descriptor'
    else if (magic - (magic % 16) === skippableMagic) this.step = 'skippable size'
    else this.isBroken = true
  }

  private takeDescriptor(descriptor: number): void {
    const sizeFlag = descriptor >> 6
    const isSingleSegment = (descriptor & 0x20) !== 0
    this.hasChecksum = (descriptor & 0x04) !== 0
    const windowBytes = isSingleSegment ? 0 : 1
    const sizeBytes = sizeFlag === 0 && isSingleSegment ? 1 : contentSizeBytes[sizeFlag]!
    this.skipBytes = windowBytes + dictionaryIdBytes[descriptor & 0x03]! + sizeBytes
    this.step = 'block'
  }

  private takeBlock(header: number): void {
    const isLast = (header & 1) === 1
    const type = (header >> 1) & 3
    const runLength = 1
    const blockBytes = type === runLength ? 1 : header >> 3
    if (isLast) this.endFrame(blockBytes + (this.hasChecksum ? 4 : 0))
    else this.skipBytes = blockBytes
  }

  /** Ends the frame after `restBytes` more bytes. */
  private endFrame(restBytes: number): void {
    this.skipBytes = restBytes
    this.step = 'magic'
    this.frames++
  }
}

const stepBytes: Readonly<Record<Step, number>> = { magic: 4, 'skippable size': 4, descriptor: 1, block: 3 }
