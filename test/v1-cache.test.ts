import { expect, test } from 'bun:test'
import type { Stored } from '../sdk/types.ts'
import { jsonOf, put } from './support/responses.ts'
import { startServer } from './support/server.ts'

/**
 * What is read is never older than what was acknowledged before, nor than what was read before: with the read cache,
 * without it, and with one so small that it is always letting go.
 */

const keys = ['a', 'b/c', 'é']
const lastMs = 2500

for (const cacheBytes of ['64MiB', '0', '4KiB']) {
  test.concurrent(`reads of what is being written are never stale (--cache-bytes ${cacheBytes})`, async () => {
    const server = await startServer({ flags: ['--cache-bytes', cacheBytes] })
    try {
      /** The latest revision by key that somebody knows of: read, or acknowledged. */
      const seen = new Map(keys.map((key) => [key, 0]))
      const urlOf = (key: string) => `${server.url}/v1/c/${encodeURIComponent(key)}`
      const untilMs = Date.now() + lastMs
      let reads = 0
      let writes = 0
      /** Long enough, and on a busy machine until there was enough of both. */
      const goesOn = () => Date.now() < untilMs || reads < 300 || writes < 60

      function learn(key: string, revision: number): void {
        seen.set(key, Math.max(seen.get(key)!, revision))
      }

      async function writer(start: number): Promise<void> {
        for (let i = start; goesOn(); i++) {
          const key = keys[i % keys.length]!
          if (i % 5 === 4) {
            const operations = [{ op: 'put', collection: 'c', key, value: { i } }]
            const reply = fetch(`${server.url}/v1/_batch`, {
              method: 'POST',
              body: JSON.stringify({ operations }),
            })
            learn(key, (await jsonOf<{ revisions: number[] }>(reply)).revisions[0]!)
          } else {
            const pad = 'x'.repeat((i * 37) % 400)
            learn(key, (await jsonOf<Stored>(put(urlOf(key), `{"i":${i},"pad":"${pad}"}`))).revision)
          }
          writes++
          // Pauses let readers fill the cache in between.
          if (i % 3 === 0) await Bun.sleep(i % 7)
        }
      }

      async function reader(start: number): Promise<void> {
        for (let i = start; goesOn(); i++) {
          const key = keys[i % keys.length]!
          const known = seen.get(key)!
          if (known === 0) {
            await Bun.sleep(1)
            continue
          }
          let revision: number
          if (i % 11 === 0) {
            const page = await jsonOf<{ members: Stored[] }>(
              fetch(`${server.url}/v1/c?filter=${encodeURIComponent(key)}`),
            )
            revision = page.members[0]!.revision
          } else {
            const got = await fetch(
              urlOf(key),
              i % 4 === 0 ? { headers: { 'if-none-match': `"${known}"` } } : {},
            )
            expect([200, 304]).toContain(got.status)
            await got.text()
            revision = Number(got.headers.get('etag')!.slice(1, -1))
          }
          if (revision < known) throw new Error(`${key} was at ${known}, and was read at ${revision}`)
          learn(key, revision)
          reads++
        }
      }

      await Promise.all([0, 1, 2].map(writer).concat([0, 1, 2, 3, 4, 5].map(reader)))
      // A delete is seen at once, whatever was read before.
      for (let i = 0; i < 50; i++) {
        await put(urlOf('d'), String(i))
        for (let n = 0; n < 3; n++) expect(await (await fetch(urlOf('d'))).text()).toBe(String(i))
        await fetch(urlOf('d'), { method: 'DELETE' })
        expect((await fetch(urlOf('d'))).status).toBe(404)
      }
    } finally {
      await server.remove()
    }
  })
}
