import { expect, test } from 'bun:test'
import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { newFolder } from '../../../../test/support/engine.ts'
import { appendedWriteback } from './writeback.ts'

test('what is appended to a file is written to the disk in parts, each once, as it grows', () => {
  const dir = newFolder()
  mkdirSync(dir, { recursive: true })
  const fd = openSync(join(dir, 'file'), 'w+')
  const page = Buffer.alloc(8192)
  writeSync(fd, page)
  const parts: { from: number; bytes: number }[] = []
  const onRow = appendedWriteback(fd, (from, bytes) => parts.push({ from, bytes }))
  for (let i = 0; i < 1000; i++) {
    writeSync(fd, page)
    onRow()
  }
  closeSync(fd)
  let end = page.length
  for (const { from, bytes } of parts) {
    expect(from).toBe(end)
    expect(bytes).toBeGreaterThanOrEqual(512 * 1024)
    expect(bytes).toBeLessThanOrEqual(1024 * 1024)
    end += bytes
  }
  expect(end).toBeGreaterThan(1001 * page.length - 1024 * 1024)
})
