import type { Database } from 'bun:sqlite'

/**
 * Finds damage that no row's checksum can show: missing rows, pages and subtrees. SQLite checks the structure of the
 * pages, and counts in different tables are compared. It takes half a second per million members.
 */

/** Each statement compares two tables, and returns a row where they disagree. */
const agreements: readonly (readonly [what: string, sql: string])[] = [
  [
    'its collections do not count the members that are there',
    `SELECT 1 FROM
      (SELECT collection AS name, count(*) AS members,
        sum(octet_length(key) + coalesce(large_bytes, octet_length(value))) AS bytes FROM members GROUP BY 1) m
      FULL JOIN collections c USING (name)
      WHERE m.members IS NOT c.members OR m.bytes IS NOT c.bytes LIMIT 1`,
  ],
  [
    'its feed does not have as many rows as there are members and tombstones',
    `SELECT 1 WHERE (SELECT count(*) FROM feed) <>
      (SELECT total(members) FROM collections) + (SELECT count(*) FROM tombstones)`,
  ],
  [
    'its blocks of the feed do not count the rows of the feed',
    'SELECT 1 WHERE (SELECT count(*) FROM feed) <> (SELECT total(changes) FROM feed_blocks)',
  ],
  [
    'it does not have as many expiries as members that expire',
    'SELECT 1 WHERE (SELECT count(*) FROM expiries) <> (SELECT count(expires_at) FROM members)',
  ],
  [
    'pieces of large values are missing',
    `SELECT 1 WHERE (SELECT count(*) FROM value_pieces) <>
      (SELECT total((large_bytes + 65535) / 65536) FROM members WHERE large_bytes IS NOT NULL)`,
  ],
]

/** Checks the tables. Returns a description of the first damage, for the operator; null for none. */
export function checkTables(db: Database): string | null {
  db.run('BEGIN')
  try {
    const [verdict] = db.query('PRAGMA integrity_check(1)').values()[0] as [string]
    if (verdict !== 'ok') return verdict.split('\n').join('; ')
    for (const [what, sql] of agreements) if (db.query(sql).values().length > 0) return what
    return null
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  } finally {
    try {
      db.run('ROLLBACK')
    } catch {
      // SQLite has ended a transaction that found damage.
    }
  }
}
