import { afterEach, describe, expect, test } from 'bun:test'
import { mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type LineDisk, type LineFile, type LineFileOptions, openLineFile } from './line-file.ts'

/** Lines on a disk that fails as the tests say, and in real files. What a full disk does is in test/audit-log-files.test.ts. */

interface TestDisk extends LineDisk {
  /** The text of each file, by name and how often it was opened. */
  readonly files: string[]
  /** Bytes that it still takes. */
  room: number
  /** Lets the next second pass. */
  passSecond(): void
  isOpenable: boolean
}

function testDisk(): TestDisk {
  const files: string[] = []
  const sleepers: (() => void)[] = []
  return {
    files,
    room: Number.POSITIVE_INFINITY,
    isOpenable: true,
    passSecond() {
      for (const wake of sleepers.splice(0)) wake()
    },
    open() {
      if (!this.isOpenable) throw new Error('EACCES')
      return files.push('') - 1
    },
    async write(fd, bytes) {
      const taken = Math.min(bytes.length, this.room)
      if (taken === 0) throw new Error('ENOSPC')
      this.room -= taken
      files[fd] += Buffer.from(bytes.subarray(0, taken)).toString()
      return taken
    },
    sync: async () => {},
    close: async () => {},
    sleep: () => new Promise((resolve) => sleepers.push(resolve)),
  }
}

function openOn(disk: LineDisk | undefined, more: Partial<LineFileOptions> = {}) {
  const said: string[] = []
  const file = openLineFile({
    path: 'audit.log',
    maxWaitingBytes: 100,
    batchMs: 0,
    lostLine: (lines) => `lost ${lines}`,
    onFault: (error) => said.push(String(error)),
    onRecovery: () => said.push('recovered'),
    ...(disk === undefined ? {} : { disk }),
    ...more,
  })
  return { file, said }
}

/** Lets everything happen that needs no time. */
async function settle(): Promise<void> {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve))
}

test('lines are written in their order, and none is lost at the end', async () => {
  const disk = testDisk()
  const { file, said } = openOn(disk, { maxWaitingBytes: 1e6 })
  const lines = Array.from({ length: 3000 }, (_, i) => `line ${i} ü`)
  for (const [i, line] of lines.entries()) {
    file.append(line)
    if (i % 700 === 0) await settle()
  }
  await file.close()
  expect(disk.files).toEqual([lines.map((line) => `${line}\n`).join('')])
  expect(file.counts).toEqual({ written: 3000, lost: 0, waitingBytes: 0 })
  expect(said).toEqual([])
})

test('a line that is added when the others have just been written is not left behind', async () => {
  const disk = testDisk()
  const { file } = openOn(disk)
  for (let i = 0; i < 50; i++) {
    file.append(`${i}`)
    for (let tick = 0; tick < i % 7; tick++) await Promise.resolve()
    if (i % 5 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  await settle()
  expect(disk.files[0]).toBe(Array.from({ length: 50 }, (_, i) => `${i}\n`).join(''))
})

describe('a disk without room', () => {
  test('keeps lines waiting as far as memory allows; how many more there were is a line where they would be', async () => {
    const disk = testDisk()
    const { file, said } = openOn(disk)
    file.append('first')
    await settle()
    disk.room = 0
    for (let i = 10; i < 30; i++) file.append(`line ${i}`) // 8 bytes each, of which 12 fit
    await settle()
    expect(file.counts).toEqual({ written: 1, lost: 8, waitingBytes: 96 })
    expect(said).toEqual(['Error: ENOSPC'])
    disk.room = 1000
    disk.passSecond()
    await settle()
    file.append('last')
    await settle()
    const kept = Array.from({ length: 12 }, (_, i) => `line ${i + 10}`)
    expect(disk.files[0]!.trimEnd().split('\n')).toEqual(['first', ...kept, 'lost 8', 'last'])
    expect(said).toEqual(['Error: ENOSPC', 'recovered'])
    expect(file.counts).toMatchObject({ lost: 8, waitingBytes: 0 })
  })

  test('that takes a part of them has the gap before the lines that came later', async () => {
    const disk = testDisk()
    const { file } = openOn(disk)
    disk.room = 0
    for (let i = 10; i < 30; i++) file.append(`line ${i}`)
    await settle()
    disk.room = 40
    disk.passSecond()
    await settle()
    file.append('later')
    disk.room = 1000
    disk.passSecond()
    await settle()
    expect(disk.files[0]!.split('\n').slice(11)).toEqual(['line 21', 'lost 8', 'later', ''])
  })

  test('is reported again every minute, not every second', async () => {
    const disk = testDisk()
    const { file, said } = openOn(disk)
    disk.room = 0
    file.append('x')
    for (let second = 0; second < 125; second++) {
      await settle()
      disk.passSecond()
    }
    expect(said).toEqual(Array(3).fill('Error: ENOSPC'))
  })

  test('tears no line: what has not gone in goes on where it was', async () => {
    const disk = testDisk()
    const { file } = openOn(disk)
    disk.room = 9
    for (const line of ['one', 'two', 'three', 'four']) file.append(line)
    await settle()
    expect(disk.files[0]).toBe('one\ntwo\nt')
    expect(file.counts).toMatchObject({ written: 2, waitingBytes: 10 })
    disk.room = 3
    disk.passSecond()
    await settle()
    expect(disk.files[0]).toBe('one\ntwo\nthre')
    disk.room = 1000
    disk.passSecond()
    await settle()
    expect(disk.files[0]).toBe('one\ntwo\nthree\nfour\n')
    expect(file.counts).toEqual({ written: 4, lost: 0, waitingBytes: 0 })
  })

  test('at the end is tried once more, and what is lost is counted', async () => {
    const disk = testDisk()
    const { file } = openOn(disk)
    disk.room = 0
    file.append('one')
    file.append('two')
    await settle()
    await file.close()
    expect(file.counts).toEqual({ written: 0, lost: 2, waitingBytes: 0 })
    file.append('late')
    expect(file.counts.lost).toBe(3)
  })

  test('that has room at the end has all lines', async () => {
    const disk = testDisk()
    const { file } = openOn(disk)
    disk.room = 0
    for (let i = 10; i < 30; i++) file.append(`line ${i}`)
    await settle()
    disk.room = 1000
    await file.close()
    expect(disk.files[0]).toStartWith('line 10\n')
    expect(disk.files[0]).toEndWith('line 21\nlost 8\n')
  })
})

describe('rotation', () => {
  test('goes on in a new file, with what was not written yet', async () => {
    const disk = testDisk()
    const { file } = openOn(disk)
    file.append('old')
    await settle()
    file.append('either')
    file.reopen()
    file.append('new')
    await settle()
    file.append('newer')
    await file.close()
    expect(disk.files[0]).toStartWith('old\n')
    expect(disk.files.join('')).toBe('old\neither\nnew\nnewer\n')
    expect(disk.files[1]).toEndWith('newer\n')
  })

  test('leaves no half of a line in the new file', async () => {
    const disk = testDisk()
    const { file } = openOn(disk)
    disk.room = 7
    file.append('first')
    file.append('second')
    file.append('third')
    await settle()
    expect(disk.files).toEqual(['first\ns'])
    disk.room = 1000
    file.reopen()
    await settle()
    expect(disk.files).toEqual(['first\ns', 'third\n'])
    expect(file.counts).toEqual({ written: 2, lost: 1, waitingBytes: 0 })
  })

  test('that finds no file to open goes on in the old one, and says so', async () => {
    const disk = testDisk()
    const { file, said } = openOn(disk)
    disk.isOpenable = false
    file.reopen()
    file.append('x')
    await settle()
    expect(disk.files).toEqual(['x\n'])
    expect(said).toEqual(['Error: EACCES'])
  })
})

test('lines wait for others for as long as they may, but not when the file is closed', async () => {
  const disk = testDisk()
  const { file } = openOn(disk, { batchMs: 1_000_000 })
  file.append('one')
  await settle()
  expect(disk.files).toEqual([''])
  file.reopen()
  await settle()
  file.append('two')
  await settle()
  expect(disk.files.join('')).toBe('one\n')
  await file.close()
  expect(disk.files.join('')).toBe('one\ntwo\n')
})

describe('a real file', () => {
  let folder = ''
  let file: LineFile
  const open = (name = 'audit.log') => {
    folder ||= mkdtempSync(join(tmpdir(), 'kvist-test-'))
    file = openOn(undefined, { path: join(folder, name) }).file
    return join(folder, name)
  }
  afterEach(async () => {
    rmSync(folder, { recursive: true, force: true })
    folder = ''
  })

  test('is for its owner only, and appended to', async () => {
    const path = open()
    file.append('one')
    await file.close()
    expect(statSync(path).mode & 0o777).toBe(0o600)
    open()
    file.append('two')
    await file.close()
    expect(readFileSync(path, 'utf8')).toBe('one\ntwo\n')
  })

  test('whose last line was cut off by a crash gets the next on a line of its own', async () => {
    folder = mkdtempSync(join(tmpdir(), 'kvist-test-'))
    writeFileSync(join(folder, 'audit.log'), 'whole\nhal')
    const path = open()
    file.append('next')
    await file.close()
    expect(readFileSync(path, 'utf8')).toBe('whole\nhal\nnext\n')
  })

  test('that was renamed is followed by a new one', async () => {
    const path = open()
    file.append('one')
    await settle()
    await Bun.sleep(0)
    renameSync(path, `${path}.1`)
    file.reopen()
    file.append('two')
    await file.close()
    expect(readFileSync(`${path}.1`, 'utf8') + readFileSync(path, 'utf8')).toBe('one\ntwo\n')
    expect(readFileSync(path, 'utf8')).toEndWith('two\n')
  })

  test('that cannot be opened is an error at once', () => {
    expect(() => open('nowhere/audit.log')).toThrow('ENOENT')
  })
})
