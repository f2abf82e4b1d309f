import { formatTime } from '../../core/time.ts'

/** Writes parts of members as JSON straight into a buffer, where joining and encoding texts would cost more. */

/** The text from the times to the end of a member, with both times 0. */
export const sampleTimes = Buffer.from(
  `,"created_at":"${formatTime(0)}","updated_at":"${formatTime(0)}","expires_at":null,"content_type":"application/json"}`,
)
/** Offsets of the times in `sampleTimes`. */
export const createdOffset = sampleTimes.indexOf(formatTime(0))
export const updatedOffset = sampleTimes.lastIndexOf(formatTime(0))

const zero = 0x30

/** A text in ASCII, in words of four bytes; the last one overlaps the one before it. */
export interface Words {
  readonly words: Int32Array
  readonly length: number
}

export function wordsOf(text: string): Words {
  const bytes = Buffer.from(text)
  const words = new Int32Array(Math.ceil(bytes.length / 4))
  for (let i = 0; i < words.length; i++) words[i] = bytes.readInt32LE(Math.min(i * 4, bytes.length - 4))
  return { words, length: bytes.length }
}

/** Writes a text, and returns where it ends: word by word, in a third of the time that a loop over bytes takes. */
export function copyWords(view: DataView, at: number, { words, length }: Words): number {
  const last = words.length - 1
  for (let i = 0; i < last; i++) view.setInt32(at + i * 4, words[i]!, true)
  view.setInt32(at + length - 4, words[last]!, true)
  return at + length
}

/** Whether a text is at an offset. */
export function hasWords(view: DataView, at: number, { words, length }: Words): boolean {
  if (at + length > view.byteLength) return false
  const last = words.length - 1
  for (let i = 0; i < last; i++) if (view.getInt32(at + i * 4, true) !== words[i]) return false
  return view.getInt32(at + length - 4, true) === words[last]
}

/** Writes a safe integer that is at least 0, and returns where it ends. */
export function writeNumber(out: Buffer, at: number, number: number): number {
  if (number >= 2 ** 31) return at + out.write(String(number), at)
  let rest = number | 0
  const end = at + digitsOf(rest)
  for (let i = end - 1; i >= at; i--) {
    const tenth = (rest / 10) | 0
    out[i] = zero + rest - tenth * 10
    rest = tenth
  }
  return end
}

/** The number of digits of a safe integer that is at least 0. */
export function digitsOf(number: number): number {
  if (number >= 2 ** 31) return String(number).length
  let digits = 1
  for (let limit = 10; digits < 10 && number >= limit; limit *= 10) digits++
  return digits
}

/** Copies what `writeTime` wrote at `from`. */
export function copyTime(view: DataView, at: number, from: number): void {
  for (let i = 0; i < timeBytes; i += 4) view.setInt32(at + i, view.getInt32(from + i, true), true)
}

/** The whole seconds written last, as text: a slot for each remainder by 64. */
const secondBytes = 20
/** A time is followed by milliseconds and `Z`. */
const timeBytes = secondBytes + 4
const secondSlots = 64
const seconds = new Float64Array(secondSlots).fill(Number.NaN)
const secondTexts = Buffer.alloc(secondSlots * secondBytes)
const secondView = new DataView(secondTexts.buffer, secondTexts.byteOffset, secondTexts.length)

/** Writes what `formatTime` returns. Times have four-digit years (limits.ts), so all texts have the same length. */
export function writeTime(out: Buffer, view: DataView, at: number, ms: number): void {
  const second = Math.floor(ms / 1000)
  const slot = second & (secondSlots - 1)
  const from = slot * secondBytes
  if (seconds[slot] !== second) {
    secondTexts.write(formatTime(second * 1000), from, secondBytes)
    seconds[slot] = second
  }
  for (let i = 0; i < secondBytes; i += 4) view.setInt32(at + i, secondView.getInt32(from + i, true), true)
  const part = ms - second * 1000
  out[at + secondBytes] = zero + ((part / 100) | 0)
  out[at + secondBytes + 1] = zero + (((part / 10) | 0) % 10)
  out[at + secondBytes + 2] = zero + (part % 10)
}
