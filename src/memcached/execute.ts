import type { MaybePromise } from '../core/engine.ts'
import type { Decision } from './change.ts'
import type { Command, Count, MetaCount, MetaDelete, MetaStore, StoreCommand, Touch } from './command.ts'
import { decideCount, decideMetaDelete, decideStore } from './decide.ts'
import { responses as lines } from './error-lines.ts'
import {
  respondMetaCounted,
  respondMetaDelete,
  respondMetaNotCounted,
  respondMetaStore,
} from './meta-responses.ts'
import { countRefused } from './plain-writes.ts'
import { countTouch, debug, get, getAndTouch, metaGet, touchItem } from './read.ts'
import { type Responses, wireBytes } from './responses.ts'
import type { MemcachedState, Session } from './state.ts'
import { respondStats, versionText } from './stats.ts'
import { expiresAtMs } from './times.ts'

/** All commands except quit. The connection executes quit and plain writes itself. */
type Executed = Exclude<Command, { kind: 'quit' }>

/** Executes a command and responds; returns a promise when it is asynchronous. */
export function execute(session: Session, command: Executed): MaybePromise<void> {
  const { server, out } = session
  switch (command.kind) {
    case 'get':
      return command.touch === null ? get(session, command) : getAndTouch(session, command, command.touch)
    case 'metaGet':
      return metaGet(session, command)
    case 'metaDebug':
      return debug(session, command)
    case 'store':
    case 'metaStore':
      return store(session, command)
    case 'count':
    case 'metaCount':
      return count(session, command)
    case 'touch':
      return touch(session, command)
    case 'metaDelete':
      return metaDelete(session, command)
    case 'flushAll':
      return flushAll(session, command.delay, command.noreply)
    case 'stats':
      return respondStats(session, command.args)
    case 'verbosity':
      return reply(out, command.noreply, 'OK')
    case 'version':
      return reply(out, false, `VERSION ${versionText(server.settings.version)}`)
    case 'metaNoop':
      server.counts.cmd_meta++
      return reply(out, false, 'MN')
    case 'refused':
      countRefused(server.counts, command)
      return reply(out, command.silent, command.response)
    case 'delete':
      throw new Error('a delete is a plain write')
    default:
      return command satisfies never
  }
}

function reply(out: Responses, quiet: boolean, line: string): void {
  if (!quiet) out.line(line)
}

const storeLines = {
  stored: 'STORED',
  notStored: 'NOT_STORED',
  exists: 'EXISTS',
  notFound: 'NOT_FOUND',
} as const

async function store(session: Session, command: StoreCommand | MetaStore): Promise<void> {
  const { server, out } = session
  const { counts } = server
  const done = await session.change(
    command,
    command.key,
    (found, nowMs): Decision<ReturnType<typeof decideStore>> => {
      const outcome = decideStore(command, found, nowMs, server.settings.maxValueBytes)
      return { outcome, write: outcome.status === 'stored' ? outcome.write : null }
    },
  )
  const { status } = done.outcome
  counts.cmd_set++
  if (status === 'stored') counts.total_items++
  if (command.mode === 'cas') countCas(server, status)
  if (command.kind === 'store') {
    reply(out, command.noreply, storeLines[status])
    return
  }
  counts.cmd_meta++
  const value = done.outcome.status === 'stored' ? done.outcome.write.value : command.value
  respondMetaStore(out, command, status, status === 'stored' ? done.revision : 0, wireBytes(value))
}

function countCas({ counts }: MemcachedState, status: keyof typeof storeLines): void {
  if (status === 'stored') counts.cas_hits++
  else if (status === 'exists') counts.cas_badval++
  else counts.cas_misses++
}

async function count(session: Session, command: Count | MetaCount): Promise<void> {
  const { server, out } = session
  const { counts } = server
  const done = await session.change(
    command,
    command.key,
    (found, nowMs): Decision<ReturnType<typeof decideCount>> => {
      const outcome = decideCount(command, found, nowMs)
      return { outcome, write: outcome.status === 'counted' ? outcome.write : null }
    },
  )
  const { outcome, found, nowMs, revision } = done
  if (command.kind === 'metaCount') counts.cmd_meta++
  if (found === null) counts[command.up ? 'incr_misses' : 'decr_misses']++
  else counts[command.up ? 'incr_hits' : 'decr_hits']++
  if (outcome.status === 'counted') {
    if (outcome.created) counts.total_items++
    if (found !== null) server.accesses.carry(found.revision, revision)
  }
  if (outcome.status === 'notANumber') {
    reply(out, command.kind === 'count' && command.noreply, lines.notANumber)
  } else if (command.kind === 'count') {
    reply(out, command.noreply, outcome.status === 'counted' ? String(outcome.number) : 'NOT_FOUND')
  } else if (outcome.status === 'counted') {
    const { number, created, write } = outcome
    const item = { ...write, expiresAtMs: found?.expiresAtMs ?? null, revision, writtenAtMs: nowMs }
    respondMetaCounted(out, command, { item, created }, number, nowMs)
  } else {
    respondMetaNotCounted(out, command, outcome.status)
  }
}

async function touch(session: Session, command: Touch): Promise<void> {
  const { server, out } = session
  const { key, exptime, noreply } = command
  const { found, revision } = await touchItem(session, command, key, exptime)
  countTouch(server, found !== null)
  if (found !== null) server.accesses.record(revision)
  reply(out, noreply, found === null ? 'NOT_FOUND' : 'TOUCHED')
}

async function metaDelete(session: Session, command: MetaDelete): Promise<void> {
  const { server, out } = session
  const { counts } = server
  const { outcome, found, revision } = await session.change(
    command,
    command.key,
    (found, nowMs): Decision<ReturnType<typeof decideMetaDelete>> => {
      const outcome = decideMetaDelete(command, found, nowMs)
      if (outcome.status === 'deleted') return { outcome, write: 'delete' }
      return { outcome, write: outcome.status === 'changed' ? outcome.write : null }
    },
  )
  counts.cmd_meta++
  const isKept = outcome.status === 'changed' && !command.removeValue
  if (isKept && found !== null) server.accesses.carry(found.revision, revision)
  if (outcome.status === 'deleted') counts.delete_hits++
  if (outcome.status === 'notFound') counts.delete_misses++
  respondMetaDelete(out, command, outcome.status)
}

async function flushAll({ server, out }: Session, delay: number, quiet: boolean): Promise<void> {
  const nowMs = server.now()
  const atMs = expiresAtMs(delay, nowMs) ?? nowMs
  server.counts.cmd_flush++
  if (atMs > nowMs) server.flushes.at(atMs)
  else await server.flushes.now()
  reply(out, quiet, 'OK')
}
