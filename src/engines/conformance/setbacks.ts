import { expect } from 'bun:test'
import { KvistError } from '../../core/errors.ts'
import { keyOf, revisionOf } from '../../core/member.ts'
import { changesAfter, collection, put, read, type Store, type Suite, write } from './store.ts'

/** The engine after it lost changes that it had reported. */
export function setbackPromises({ storeTest, differences }: Suite): void {
  const { lose } = differences
  if (lose === undefined) return

  /** Writes two versions of a member and loses the second; returns the cursor after each and the lost revision. */
  async function withLoss(store: Store): Promise<{ kept: string; lost: string; revision: number }> {
    await write(store, put('a', '1'))
    const kept = store.engine.head()
    const [written] = await write(store, put('a', '2'))
    const lost = store.engine.head()
    await lose!(store.engine)
    return { kept, lost, revision: written!.revision }
  }

  async function codeOf(store: Store, cursor: string): Promise<string> {
    try {
      await store.engine.changes(cursor, 10)
      return 'served'
    } catch (error) {
      return error instanceof KvistError ? error.code : String(error)
    }
  }

  storeTest('a setback is reported, and what was lost is not read any more', async (store) => {
    await withLoss(store)
    expect(store.setbacks()).toBe(1)
    expect(await read(store, 'a')).toMatchObject({ value: '1' })
    const { changes } = await changesAfter(store)
    expect(changes.map((change) => change.type === 'put' && change.member.value)).toEqual(['1'])
  })

  storeTest(
    'a cursor that stood in what was lost is compacted, and one before it is served',
    async (store) => {
      const { kept, lost } = await withLoss(store)
      expect([await codeOf(store, kept), await codeOf(store, lost)]).toEqual(['served', 'compacted'])
      await write(store, put('a', '3'), put('b'))
      expect(await codeOf(store, lost)).toBe('compacted')
      expect((await changesAfter(store, kept)).changes.map(keyOf)).toEqual(['a', 'b'])
      expect((await changesAfter(store, store.engine.head())).changes).toEqual([])
    },
  )

  storeTest('the revision of a lost change is not given out again', async (store) => {
    const { revision } = await withLoss(store)
    const [written] = await write(store, put('a', '3'))
    expect(written!.revision).toBeGreaterThan(revision)
    expect(revisionOf(store.reported.at(-1)!)).toBe(written!.revision)
    expect(await store.engine.readMany([{ collection, key: 'a' }])).toMatchObject([{ value: '3' }])
  })
}
