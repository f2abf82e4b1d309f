import { expect, test } from 'bun:test'
import { remainingJobMs, startWriteStall } from './write-stall.ts'

const segmentBytes = 16 * 1024 * 1024

interface Written {
  readonly bytes: number
  readonly longestPauseMs: number
  /** The first moment at which there was no room; null for never. */
  readonly fullAtMs: number | null
}

/** Groups of 12 kB, a millisecond each, for as long as a job takes, of which is thought that it takes `guessedMs`. */
function writeFor(jobMs: number, guessedMs: number, room: number): Written {
  const stall = startWriteStall()
  let [nowMs, bytes, longestPauseMs] = [1000, 0, 0]
  let fullAtMs: number | null = null
  stall.pauseMs(nowMs, 0, room, 0)
  for (const startedMs = nowMs; nowMs < startedMs + jobMs; ) {
    nowMs++
    bytes += 12_000
    if (bytes > room) fullAtMs ??= nowMs - startedMs
    const soFarMs = nowMs - startedMs
    const left = Math.max(room - bytes, segmentBytes / 16)
    const pauseMs = stall.pauseMs(nowMs, 12_000, left, remainingJobMs(guessedMs, soFarMs))
    longestPauseMs = Math.max(longestPauseMs, pauseMs)
    nowMs += pauseMs
  }
  return { bytes, longestPauseMs, fullAtMs }
}

test('writers who are slower than the tables do not wait', () => {
  const { longestPauseMs } = writeFor(1000, 1000, 2 * segmentBytes)
  expect(longestPauseMs).toBe(0)
})

test('the room lasts for a job that takes as long as was thought, and is used', () => {
  const { bytes, fullAtMs } = writeFor(8000, 8000, 2 * segmentBytes)
  expect(fullAtMs).toBeNull()
  expect(bytes).toBeGreaterThan(1.5 * segmentBytes)
})

test('the room lasts for a job that takes five times as long as was thought', () => {
  expect(writeFor(8000, 1600, 2 * segmentBytes).fullAtMs).toBeNull()
})

test('without a job there is no pause, and what went before is forgotten', () => {
  const stall = startWriteStall()
  expect(stall.pauseMs(1001, 12_000, 12_000, 5000)).toBe(50)
  expect(stall.pauseMs(1002, 12_000, 12_000, 0)).toBe(0)
  expect(stall.pauseMs(1003, 10, 12_000, 1000)).toBe(0)
})
