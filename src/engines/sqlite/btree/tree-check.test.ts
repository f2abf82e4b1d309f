import { afterAll, describe, expect, test } from 'bun:test'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { memberParams, putMemberSql } from '../table/member-row.ts'
import type { TreeName } from '../table/schema.ts'
import { openForWriting, readStart } from '../table/table.ts'
import type { MemberRowCursor } from '../table/table-reader.ts'
import { pageBytes } from './page-format.ts'
import { openPages, type PageReader } from './pages.ts'
import type { TreeKey } from './tree-check.ts'

/** Damage that no page shows by itself: each is valid, but its keys do not lie between the separators above it. */

const dir = mkdtempSync(join(tmpdir(), 'kvist-tree-check-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

const rows = 2000
const keyOf = (n: number) => `key-${String(n).padStart(5, '0')}`
let files = 0

/** A file with as many members and changes, in trees of two levels, or with longer keys of three. */
function fill(keySuffix = ''): string {
  const path = join(dir, `${++files}.db`)
  const db = openForWriting(path)
  const put = db.query(putMemberSql)
  const addToFeed = db.query('INSERT INTO feed VALUES (?, ?, ?, NULL, 0)')
  db.run('BEGIN')
  for (let i = 0; i < rows; i++) {
    const times = { revision: i + 1, createdAtMs: 0, clock: 0, expiresAtMs: null }
    const member = {
      key: keyOf(i) + keySuffix,
      value: '1',
      ...times,
      node: '',
      contentType: 'application/json',
      flags: 0,
    }
    put.run(...memberParams('c', member, null))
    addToFeed.run(i + 1, 'c', keyOf(i))
  }
  db.run('COMMIT')
  db.close()
  return path
}

/** A page of a file, which `write` changes in place. */
class Page {
  private readonly path: string
  readonly number: number
  readonly bytes: Buffer

  constructor(path: string, number: number) {
    this.path = path
    this.number = number
    this.bytes = readFileSync(path).subarray((number - 1) * pageBytes, number * pageBytes)
  }

  get count(): number {
    return this.bytes.readUInt16BE(3)
  }

  /** The offset of an interior cell. */
  cell(index: number): number {
    return this.bytes.readUInt16BE(12 + index * 2)
  }

  childOffset(index: number): number {
    return index === this.count ? 8 : this.cell(index)
  }

  child(index: number): Page {
    return new Page(this.path, this.bytes.readUInt32BE(this.childOffset(index)))
  }

  setChild(index: number, { number }: Page): void {
    this.bytes.writeUInt32BE(number, this.childOffset(index))
    this.write()
  }

  write(): void {
    const file = openSync(this.path, 'r+')
    writeSync(file, this.bytes, 0, pageBytes, (this.number - 1) * pageBytes)
    closeSync(file)
  }
}

const trees: Record<'members' | 'feed', { all: [TreeKey, TreeKey]; at(index: number, root: Page): TreeKey }> =
  {
    members: { all: [['c'], ['c', '~']], at: (index, root) => ['c', separatorOf(root, index)] },
    feed: { all: [[0], [rows + 1]], at: (index, root) => [varintAt(root.bytes, root.cell(index) + 4)] },
  }

function separatorOf(root: Page, index: number): string {
  return root.bytes.toString('latin1', root.bytes.indexOf('key-', root.cell(index))).slice(0, 9)
}

/** A number of up to two bytes. */
function varintAt(bytes: Buffer, at: number): number {
  const first = bytes[at]!
  return first < 128 ? first : (first & 127) * 128 + bytes[at + 1]!
}

/** Opens a file, shows that its trees are right, and returns what a later check finds. */
function opened(name: TreeName, path = fill()) {
  const { roots } = readStart(path)
  const pages = openPages(path, roots, () => {
    throw new Error('no large value is stored')
  })
  const damage = (from: TreeKey, to: TreeKey) => pages.damageIn(name, from, to)
  return { path, root: new Page(path, roots[name]), pages, damage, close: pages.close }
}

describe.each(['members', 'feed'] as const)('in the tree of %s', (name) => {
  const { all, at } = trees[name]

  test.each([
    ['the pages after its own', 2],
    ['the pages before its own', 0],
  ])('a child that is one of %s is damage', (_what, other) => {
    const { root, damage, close } = opened(name)
    expect(root.count).toBeGreaterThan(3)
    expect(damage(...all)).toBeNull()
    const wrong = root.child(other)
    root.setChild(1, wrong)
    const report = `page ${wrong.number} of ${name} is not as it should be`
    expect(damage(...all)).toBe(report)
    // A search for one key goes to that child, too.
    const key = at(1, root)
    const before = name === 'feed' ? key : (['c', `${String(key[1]).slice(0, 8)}!`] as const)
    expect(damage(before, before)).toBe(report)
    close()
  })

  test('the last child, which has no separator behind it, has to come after the one before it', () => {
    const { root, damage, close } = opened(name)
    expect(damage(...all)).toBeNull()
    const wrong = root.child(root.count - 1)
    root.setChild(root.count, wrong)
    expect(damage(...all)).toBe(`page ${wrong.number} of ${name} is not as it should be`)
    close()
  })

  test('the first child, which has no separator before it, has to come before the one behind it', () => {
    const { root, damage, close } = opened(name)
    expect(damage(...all)).toBeNull()
    const wrong = root.child(1)
    root.setChild(0, wrong)
    expect(damage(...all)).toBe(`page ${wrong.number} of ${name} is not as it should be`)
    close()
  })
})

test.each([
  ['last key of the page before it', 0, 'lastIndexOf', -1],
  ['first key of the page after it', 1, 'first', 1],
] as const)('a member that is a separator cannot be the %s', (_what, child, which, step) => {
  const { root, damage, close } = opened('members')
  expect(damage(['c'], ['c', '~'])).toBeNull()
  const separator = separatorOf(root, 0)
  const neighbour = keyOf(Number(separator.slice(4)) + step)
  const leaf = root.child(child)
  const offset = which === 'first' ? leaf.bytes.indexOf(neighbour) : leaf.bytes.lastIndexOf(neighbour)
  expect(offset).toBeGreaterThan(0)
  leaf.bytes.write(separator, offset)
  leaf.write()
  expect(damage(['c'], ['c', '~'])).toBe(`page ${leaf.number} of members is not as it should be`)
  close()
})

const range = { collection: 'c', from: null, to: null, order: 'asc' } as const

test.each<[string, (pages: PageReader) => unknown]>([
  ['a read of a member', (pages) => expect(pages.read('c', keyOf(0))?.revision).toBe(1)],
  ['a scan that failed', (pages) => expect(() => pages.scan(range, failAfterOne)).toThrow('it failed')],
  [
    'a scan before the file was written',
    (pages) => {
      expect(pages.scan(range, (found) => found.next())).toBe(true)
      pages.pause()
      pages.resume()
    },
  ],
])('what %s found whole is checked again', (_what, use) => {
  const { root, pages, damage, close } = opened('members')
  const leaf = root.child(0)
  expect(damage(['c'], ['c', '~'])).toBeNull()
  use(pages)
  leaf.bytes.write('yek', leaf.bytes.indexOf(keyOf(0)))
  leaf.write()
  expect(damage(['c'], ['c', '~'])).toBe(`page ${leaf.number} of members is not as it should be`)
  close()
})

function failAfterOne(found: MemberRowCursor): never {
  expect(found.next()).toBe(true)
  throw new Error('it failed')
}

test('separators higher up bound the first and the last child of a page', () => {
  const all = [['c'], ['c', '~']] as const
  const below = opened('members', fill('k'.repeat(400)))
  const left = below.root.child(0)
  const later = below.root.child(1).child(1)
  expect(below.damage(...all)).toBeNull()
  left.setChild(left.count, later)
  expect(below.damage(...all)).toBe(`page ${later.number} of members is not as it should be`)
  below.close()

  const above = opened('members', fill('k'.repeat(400)))
  const right = above.root.child(1)
  const earlier = above.root.child(0).child(1)
  expect(above.damage(...all)).toBeNull()
  right.setChild(0, earlier)
  expect(above.damage(...all)).toBe(`page ${earlier.number} of members is not as it should be`)
  above.close()
})
