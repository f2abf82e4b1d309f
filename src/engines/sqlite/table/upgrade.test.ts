import { Database } from 'bun:sqlite'
import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { faultsOfTables, withEngine } from '../../../../test/support/engine.ts'
import { feedOf } from '../../../../test/support/engine-writes.ts'
import { addMembers, expectFormatTwo, formatTwoFolder } from '../../../../test/support/format-2.ts'
import { random, seedOfRun } from '../../../../test/support/random.ts'
import { revisionOf } from '../../../core/member.ts'
import { openForWriting } from './table.ts'
import { upgradeTables } from './upgrade.ts'

test('a folder of format 2 is upgraded when it is opened, its log included', async () => {
  const dir = formatTwoFolder()
  for (let time = 0; time < 2; time++) {
    await withEngine(dir, async (engine) => {
      await expectFormatTwo(engine)
      const revisions = (await feedOf(engine)).map(revisionOf)
      expect(revisions).toEqual(revisions.toSorted((a, b) => a - b))
      expect(revisions).toHaveLength(102 + 26)
    })
    expect(faultsOfTables(dir)).toEqual([])
  }
})

test('an upgrade is logged when it begins and when it has ended', () => {
  const dir = formatTwoFolder()
  const db = openForWriting(join(dir, 'kvist.db'))
  const lines: string[] = []
  upgradeTables(db, (line) => lines.push(line))
  expect(lines).toHaveLength(2)
  expect(lines[0]).toMatch(/kvist\.db has format 2: upgrading it to 3, about \d+ members to go$/)
  expect(lines[1]).toMatch(/kvist\.db has format 3 now, after \d+ ms$/)
  upgradeTables(db, (line) => lines.push(line))
  expect(lines).toHaveLength(2)
  db.close()
})

test('an upgrade that is killed again and again goes on where it was, and loses nothing', async () => {
  const r = random(seedOfRun())
  const dir = formatTwoFolder()
  addMembers(dir, 4000, 20_000)
  const program = join(import.meta.dir, '../../../../test/support/engine-upgrader.ts')
  let kills = 0
  for (let isDone = false; !isDone; ) {
    if (kills === 200) throw new Error('200 tries did not bring it to an end')
    const child = Bun.spawn([process.execPath, program, dir], { stdout: 'pipe', stderr: 'inherit' })
    let said = ''
    let steps = r.int(10)
    for await (const part of child.stdout.pipeThrough(new TextDecoderStream())) {
      said += part
      steps -= part.split('step').length - 1
      if (steps < 0) setTimeout(() => child.kill('SIGKILL'), r.int(4))
    }
    await child.exited
    isDone = said.endsWith('done\n')
    if (!isDone) kills++
  }
  console.log(`killed ${kills} times`)
  expect(kills).toBeGreaterThan(3)
  await withEngine(dir, async (engine) => {
    for (let i = 0; i < 4000; i++) {
      const member = await engine.read('more', `key-${String(i).padStart(5, '0')}`)
      expect(member?.value).toEqual(i % 50 === 0 ? new Uint8Array(20_000) : `{"n": ${i}}`)
    }
  })
  expect(faultsOfTables(dir)).toEqual([])
})

test('a file that is half upgraded is no file of format 2 any more, and is finished at the next start', async () => {
  const dir = formatTwoFolder()
  const path = join(dir, 'kvist.db')
  const db = openForWriting(path)
  let moves = 0
  const original = db.transaction.bind(db)
  db.transaction = ((work: () => unknown) => {
    if (++moves === 4) throw new Error('ended here')
    return original(work)
  }) as typeof db.transaction
  expect(() => upgradeTables(db, () => {}, 40)).toThrow('ended here')
  db.close()
  const seen = new Database(path, { readonly: true })
  expect(seen.query('PRAGMA user_version').values()).toEqual([[3]])
  expect(Number(seen.query('SELECT count(*) FROM members_2').values()[0]?.[0])).toBeGreaterThan(0)
  seen.close()
  await withEngine(dir, expectFormatTwo)
  expect(faultsOfTables(dir)).toEqual([])
})
