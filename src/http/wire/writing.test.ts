import { expect, test } from 'bun:test'
import { startLinesBy } from './writing.ts'

test('the Date is that of the given clock, in each second and after the clock is set back', () => {
  let nowMs = Date.UTC(2024, 1, 29, 23, 59, 59, 999)
  const startLines = startLinesBy(() => nowMs)
  const at = (ms: number) => {
    nowMs = ms
    return startLines(200)
  }
  const before = 'HTTP/1.1 200 OK\r\nDate: Thu, 29 Feb 2024 23:59:59 GMT\r\n'
  expect(at(nowMs)).toBe(before)
  expect(startLines(404)).toStartWith('HTTP/1.1 404 Not Found\r\nDate: Thu, 29 Feb 2024 23:59:59 GMT\r\n')
  expect(at(nowMs + 1)).toBe('HTTP/1.1 200 OK\r\nDate: Fri, 01 Mar 2024 00:00:00 GMT\r\n')
  expect(at(nowMs - 1)).toBe(before)
})
