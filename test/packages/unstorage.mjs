import assert from 'node:assert/strict'
import { after, afterEach, describe, it } from 'node:test'
import { kvistDriver } from 'kvist-unstorage'
import { createStorage, prefixStorage, restoreSnapshot, snapshot } from 'unstorage'

/**
 * What unstorage's documentation promises of a driver. Its own tests of drivers are not in its package; these cover what
 * they cover: items, keys by base and depth, serialization, raw values, many at once, metadata, watching and clearing.
 */

const url = process.env.KVIST_URL
const driver = kvistDriver({ url })
const storage = createStorage({ driver })

afterEach(() => storage.clear())
after(() => storage.dispose())

describe('items', () => {
  it('an empty storage has nothing', async () => {
    assert.equal(await storage.hasItem('one:a'), false)
    assert.equal(await storage.getItem('one:a'), null)
    assert.equal(await storage.getItemRaw('one:a'), null)
    assert.deepEqual(await storage.getKeys(), [])
  })

  it('an item is stored, found and removed; a query after the key is not part of it', async () => {
    await storage.setItem('one:a', 'text')
    await storage.setItem('one:b?version=1', 'more')
    assert.equal(await storage.hasItem('one:a'), true)
    assert.equal(await storage.getItem('one/a'), 'text')
    assert.equal(await storage.getItem('one:b?version=2'), 'more')
    await storage.removeItem('one:a')
    assert.equal(await storage.hasItem('one:a'), false)
    assert.equal(await storage.getItem('one:a'), null)
    await storage.removeItem('one:a')
  })

  it('values keep their kind', async () => {
    class Written {
      toJSON() {
        return { written: true }
      }
    }
    const values = {
      number: 0,
      no: false,
      yes: true,
      text: 'text',
      list: [1, { a: 'b' }],
      object: { a: { b: 'c' } },
    }
    for (const [key, value] of Object.entries(values)) {
      await storage.setItem(`kinds:${key}.json`, value)
      assert.deepEqual(await storage.getItem(`kinds:${key}.json`), value)
    }
    await storage.setItem('kinds:written', new Written())
    assert.deepEqual(await storage.getItem('kinds:written'), { written: true })
    await assert.rejects(async () => storage.setItem('kinds:map', new Map()), /Cannot stringify/)
  })

  it('a text that is JSON is JSON for other clients, byte for byte', async () => {
    await driver.setItem('exact', '{"n": 1.0}', {})
    const response = await fetch(`${url}/v1/unstorage/exact`)
    assert.equal(response.headers.get('content-type'), 'application/json')
    assert.equal(await response.text(), '{"n": 1.0}')
    assert.equal(await driver.getItem('exact'), '{"n": 1.0}')
  })

  it('raw values are bytes', async () => {
    const bytes = new Uint8Array([1, 0, 255, 3])
    await storage.setItemRaw('raw:bytes', bytes)
    assert.deepEqual(await storage.getItemRaw('raw:bytes'), bytes)
    await storage.setItemRaw('raw:buffer', Buffer.from(bytes))
    assert.deepEqual(await storage.getItemRaw('raw:buffer'), bytes)
    await storage.setItemRaw('raw:text', 'text')
    assert.deepEqual(await storage.getItemRaw('raw:text'), new TextEncoder().encode('text'))
    await storage.setItemRaw('raw:empty', new Uint8Array())
    assert.deepEqual(await storage.getItemRaw('raw:empty'), new Uint8Array())
  })

  it('many items at once, each with its own time to live or the common one', async () => {
    const items = Array.from({ length: 50 }, (_, i) => ({ key: `t:${i}`, value: { i } }))
    await storage.setItems([...items, { key: 't:own', value: 'true', options: { ttl: 100 } }], { ttl: 1000 })
    const found = await storage.getItems([{ key: 't:0' }, 't/49', 't:none', 't:own?x=1'])
    assert.deepEqual(found, [
      { key: 't:0', value: { i: 0 } },
      { key: 't:49', value: { i: 49 } },
      { key: 't:none', value: null },
      { key: 't:own', value: true },
    ])
    assert.ok((await storage.getMeta('t:own')).ttl <= 100)
    assert.ok((await storage.getMeta('t:0')).ttl > 100)
  })
})

describe('keys', () => {
  it('by base', async () => {
    for (const key of ['s1:a', 's2:a', 's3:a', 's10:a']) await storage.setItem(key, 'data')
    assert.deepEqual(await storage.getKeys(), ['s10:a', 's1:a', 's2:a', 's3:a'])
    assert.deepEqual(await storage.getKeys('s1'), ['s1:a'])
    assert.deepEqual(await prefixStorage(storage, 's1').getKeys(), ['a'])
  })

  it('by depth', async () => {
    const keys = ['d0', 'x:d1', 'x:e1', 'x:y:d2', 'x:y:e2']
    for (const key of keys) await storage.setItem(key, 'data')
    assert.deepEqual(await storage.getKeys(undefined, { maxDepth: 0 }), ['d0'])
    assert.deepEqual(await storage.getKeys(undefined, { maxDepth: 1 }), ['d0', 'x:d1', 'x:e1'])
    assert.deepEqual(await storage.getKeys(undefined, { maxDepth: 2 }), keys)
  })

  it('clearing takes a base, and an empty storage can be cleared', async () => {
    for (const key of ['a:1', 'a:2', 'b:1']) await storage.setItem(key, 'data')
    await driver.clear('a:', {})
    assert.deepEqual(await storage.getKeys(), ['b:1'])
    await storage.clear()
    await storage.clear()
    assert.deepEqual(await storage.getKeys(), [])
  })

  it('a mounted driver has its keys under its base', async () => {
    const mounted = createStorage()
    mounted.mount('kvist', kvistDriver({ url, collection: 'mounted' }))
    await mounted.setItem('kvist:a:b', 'data')
    assert.deepEqual(await mounted.getKeys(), ['kvist:a:b'])
    await restoreSnapshot(mounted, { c: 'restored' }, 'kvist')
    assert.deepEqual(await snapshot(mounted, 'kvist'), { 'a:b': 'data', c: 'restored' })
    await mounted.dispose()
  })
})

describe('time', () => {
  it('metadata says when an item was written and when it expires', async () => {
    await storage.setItem('meta', { a: 1 }, { ttl: 100 })
    const { mtime, ttl, contentType } = await storage.getMeta('meta')
    assert.ok(Math.abs(mtime.getTime() - Date.now()) < 60_000)
    assert.ok(ttl > 90 && ttl <= 100)
    assert.equal(contentType, 'application/json')
    assert.deepEqual({ ...(await storage.getMeta('none')) }, {})
  })

  it('an item expires', async () => {
    await storage.setItem('short', 'data', { ttl: 0.05 })
    await new Promise((resolve) => setTimeout(resolve, 80))
    assert.equal(await storage.getItem('short'), null)
  })

  it('changes by any client are reported until that ends', async () => {
    const seen = []
    let onChange = () => {}
    const note = (event, key) => {
      // What expired in the test before may be swept now.
      if (!key.startsWith('w:')) return
      seen.push([event, key])
      onChange()
    }
    const unwatch = await storage.watch(note)
    const changes = async (count) => {
      while (seen.length < count)
        await new Promise((resolve) => {
          onChange = resolve
        })
    }
    await fetch(`${url}/v1/unstorage/w:a`, { method: 'PUT', body: '1' })
    await changes(1)
    await fetch(`${url}/v1/unstorage/w:a`, { method: 'DELETE' })
    await changes(2)
    assert.deepEqual(seen, [
      ['update', 'w:a'],
      ['remove', 'w:a'],
    ])
    await unwatch()
    await storage.setItem('w:b', 'data')
    const later = await storage.watch(note)
    await storage.setItem('w:c', 'data')
    await changes(3)
    assert.deepEqual(seen[2], ['update', 'w:c'])
    await later()
  })
})

it('what the server refuses is an error, and so are bad options', async () => {
  await assert.rejects(storage.setItem('k'.repeat(513), 'data'), /512 bytes/)
  assert.throws(() => kvistDriver({ url: 'ftp://host' }), /http/)
  assert.throws(() => kvistDriver({ url, colection: 'typo' }), /colection/)
})
