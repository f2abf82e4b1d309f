import type { ResumePoint } from '../../sdk/client.ts'
import { duration, text, toggle } from '../option-kinds.ts'
import { option, refuse } from '../options.ts'
import { command } from './command.ts'
import { collectionOption, connect, connectionOptions, jsonOption, selectionOptions } from './connection.ts'
import { print, printAsTheyCome } from './output.ts'
import { columnLines, jsonLines, newLink } from './watch-lines.ts'
import { poll } from './watch-poll.ts'

/** The time limit of requests: a watch may run unattended, so it must not wait for ever. */
const timeoutMs = 30_000

const minIntervalMs = 100
const maxIntervalMs = 24 * 3600 * 1000

export const watchCommand = command('watch', {
  summary: 'Print changes as they happen',
  notes:
    'Of the member KEY, of a collection, or with --all of all of them: one change a line, with a tab between the columns ' +
    'when it is not for a terminal. It goes on until it is ended. When the server goes away it waits until it is back, ' +
    'and misses nothing. A line "reset" says that the server does not remember as far back as was asked for: ' +
    'everything that exists follows, and what is not in it is gone. With --interval a change that is followed by another ' +
    'one of the same member may go unseen. With --where a member that was stored and does not match is a line "leave".',
  operands: [{ name: 'KEY', help: 'the key; without it all members', optional: true }],
  options: {
    collection: option<string | undefined>({
      ...collectionOption,
      default: undefined,
      help: `the collection; without it ${collectionOption.default}`,
    }),
    all: option({ ...toggle(), flag: 'all', default: false, help: 'watch all collections' }),
    where: selectionOptions.where,
    prefix: selectionOptions.prefix,
    filter: selectionOptions.filter,
    since: option<ResumePoint | undefined>({
      ...text('REVISION', 'a revision', (given) => given || null),
      flag: 'since',
      default: undefined,
      help: 'begin after this revision; 0 prints all existing members first',
    }),
    intervalMs: option<number | undefined>({
      ...duration('ms', minIntervalMs, maxIntervalMs),
      flag: 'interval',
      default: undefined,
      help: 'poll at this interval instead of keeping a connection open',
    }),
    json: { ...jsonOption, help: 'print NDJSON' },
    ...connectionOptions,
  },
  async run(given, [key]) {
    const { all, where, prefix, filter, since, intervalMs } = given
    if (all && key !== undefined) refuse('--all watches all collections, and goes with no KEY')
    if (all && given.collection !== undefined) refuse('--all and --collection do not go together')
    const chosen = Object.entries({ where, prefix, filter }).find(([, value]) => value !== undefined)
    if (key !== undefined && chosen !== undefined)
      refuse(`--${chosen[0]} chooses among members, and goes with no KEY`)

    const kvist = connect(given)
    const collection = kvist.collection(given.collection ?? collectionOption.default)
    const feed = all ? kvist : collection
    const lines = given.json ? jsonLines : columnLines(all)
    const link = newLink(() => {
      if (lines.heading !== null) print(`${lines.heading}\n`).catch(() => {})
    })
    const stop = new AbortController()
    const limits = { signal: stop.signal, timeoutMs }
    const scope = key === undefined ? { where, prefix, filter } : { key }
    const events =
      intervalMs === undefined
        ? feed.watchRaw({ ...limits, ...scope, since, onConnect: link.isUp, onDisconnect: link.isDown })
        : poll({
            feed,
            scope: key === undefined ? { where, prefix, filter } : { prefix: key },
            member: key === undefined ? null : { collection, key },
            since: since ?? null,
            watch: () => feed.watchRaw({ ...limits, ...scope }),
            intervalMs,
            link,
            ...limits,
          })
    try {
      await printAsTheyCome(events, lines.line)
    } finally {
      stop.abort()
    }
    return 0
  },
})
