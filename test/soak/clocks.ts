import { rmSync } from 'node:fs'
import { openDatabase } from '../../src/core/database.ts'
import { openSqlite } from '../../src/engines/sqlite/engine.ts'
import { newFolder } from '../support/server.ts'
import { type Fault, repeatFor } from './fault.ts'

/** The clock jumps by days in both directions: revisions grow, and what has expired once is never read again. */
export const clocks: Fault = {
  name: 'clocks',
  does: 'clock jumps of days in both directions under writes that expire, with restarts',
  async round({ random, budgetMs }) {
    const dir = newFolder()
    const figures = { jumps: 0, writes: 0, starts: 0 }
    let nowMs = Date.now()
    let lastRevision = 0
    try {
      await repeatFor(budgetMs, async () => {
        const db = await openDatabase({
          open: (onCommit) => openSqlite({ dir, durability: 'relaxed', onCommit }),
          cacheBytes: 1 << 20,
          now: () => nowMs,
          onError: (error) => {
            throw error
          },
        })
        figures.starts++
        for (let i = 0; i < 50; i++) {
          if (random.oneIn(3)) {
            nowMs += (random.int(2001) - 1000) * 86_400
            figures.jumps++
          }
          const key = `k${random.int(20)}`
          const expiresAtMs = random.oneIn(2) ? null : nowMs + (random.int(2000) - 500) * 86_400
          const content = { value: `${i}`, contentType: 'application/json', flags: 0, expiresAtMs }
          const { revision } = await db.put('c', key, content)
          figures.writes++
          if (revision <= lastRevision) throw new Error(`revision ${revision} after ${lastRevision}`)
          lastRevision = revision
          const member = await db.get('c', key)
          const isExpired = expiresAtMs !== null && expiresAtMs <= nowMs
          if ((member === null) !== isExpired)
            throw new Error(`${key}, which expires at ${expiresAtMs}, is ${member?.value} at ${nowMs}`)
        }
        await db.close()
      })
      return figures
    } finally {
      rmSync(dir, { recursive: true, force: true })
    }
  },
}
