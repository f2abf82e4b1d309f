import { afterEach, describe, expect, test } from 'bun:test'
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { faultOf, newFolder, until, withEngine } from '../../../test/support/engine.ts'
import { put, valuesOf, write } from '../../../test/support/engine-writes.ts'
import type { KvistError } from '../../core/errors.ts'
import { closeToOthers, openDataFolder } from './data-folder.ts'

/** Longer than the guard of a folder takes to look again. */
const pastRecheckMs = 30

const folders: string[] = []
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

function folder(): string {
  const made = newFolder()
  mkdirSync(made, { recursive: true })
  folders.push(made)
  return made
}

function refusalOf(dir: string): string {
  try {
    openDataFolder(dir)
    return 'opened'
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

test('a folder that is made, and its parents, are for their owner only', () => {
  const dir = join(folder(), 'a', 'b')
  openDataFolder(dir)
  expect(statSync(dir).mode & 0o777).toBe(0o700)
  expect(statSync(join(dir, '..')).mode & 0o777).toBe(0o700)
})

test('what was open to others is closed, once, with a line', () => {
  const dir = folder()
  chmodSync(dir, 0o755)
  for (const name of ['kvist.db', 'log-00000001', 'not-ours']) {
    writeFileSync(join(dir, name), '')
    // Whatever umask another test of the process has set.
    chmodSync(join(dir, name), 0o644)
  }
  const lines: string[] = []
  closeToOthers(dir, (line) => lines.push(line))
  closeToOthers(dir, (line) => lines.push(line))
  expect(lines).toEqual([
    `${dir} was open to other users: from now on it and its files are for their owner only`,
  ])
  const modes = Object.fromEntries(
    readdirSync(dir).map((name) => [name, statSync(join(dir, name)).mode & 0o777]),
  )
  expect(modes).toEqual({ 'kvist.db': 0o600, 'log-00000001': 0o600, 'not-ours': 0o644 })
  expect(statSync(dir).mode & 0o777).toBe(0o700)
})

test('a file that is gone when its mode is asked for is passed over', () => {
  const dir = folder()
  chmodSync(dir, 0o700)
  // As a file of the log that is recycled between the two calls: it is listed, and is not there.
  symlinkSync('missing', join(dir, 'spare-00000001'))
  const lines: string[] = []
  closeToOthers(dir, (line) => lines.push(line))
  expect(lines).toEqual([])
})

test('a path that cannot be a folder is refused with one line', () => {
  const file = join(folder(), 'file')
  writeFileSync(file, '')
  expect(refusalOf(file)).toBe(`--data ${file} is a file: name a folder`)
  expect(refusalOf(join(file, 'below'))).toBe(
    `--data ${join(file, 'below')} has a file in its path: name another folder`,
  )
})

describe('a folder that goes away under an open engine', () => {
  const goings: Readonly<Record<string, (dir: string) => void>> = {
    removed: (dir) => rmSync(dir, { recursive: true }),
    moved: (dir) => {
      renameSync(dir, `${dir}-moved`)
      folders.push(`${dir}-moved`)
    },
    replaced(dir) {
      renameSync(dir, `${dir}-moved`)
      folders.push(`${dir}-moved`)
      mkdirSync(dir)
    },
    emptied: (dir) => {
      for (const name of readdirSync(dir)) rmSync(join(dir, name))
    },
  }
  for (const [how, go] of Object.entries(goings)) {
    test(`${how}: nothing is acknowledged, what was stored is still read, and the reason is reported`, async () => {
      const dir = folder()
      await withEngine(dir, async (engine) => {
        await write(engine, [put('before', '1')])
        go(dir)
        await Bun.sleep(pastRecheckMs)
        for (let i = 0; i < 3; i++) {
          const fault = (await faultOf(write(engine, [put(`after${i}`, '2')]))) as KvistError
          expect([fault.code, fault.message]).toEqual([
            'storage_failed',
            'the data folder was removed or replaced while kvist was running: stop it, and put the folder back',
          ])
        }
        expect(await valuesOf(engine)).toEqual({ before: '1' })
        expect(engine.writeFault()?.code).toBe('storage_failed')
      })
    })
  }

  test('writes go on when the folder is back', async () => {
    const dir = folder()
    await withEngine(dir, async (engine) => {
      await write(engine, [put('before', '1')])
      renameSync(dir, `${dir}-moved`)
      await Bun.sleep(pastRecheckMs)
      await faultOf(write(engine, [put('lost', '2')]))
      renameSync(`${dir}-moved`, dir)
      await until(() => engine.writeFault() === null, 'the engine has found its folder again')
      await write(engine, [put('after', '3')])
      expect(await valuesOf(engine)).toEqual({ before: '1', after: '3' })
    })
  })
})
