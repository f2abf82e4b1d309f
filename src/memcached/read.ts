import type { MaybePromise } from '../core/engine.ts'
import type { Member } from '../core/member.ts'
import { type Answers, wireBytes } from './answers.ts'
import type { Change, Changed } from './change.ts'
import type { Get, MetaDebug, MetaGet } from './command.ts'
import { itemOf, wireValue } from './contents.ts'
import { clientFlags, decideMetaGet, touched } from './decide.ts'
import { Refusal } from './failures.ts'
import { answerMetaDebug, answerMetaHit, answerMetaMiss } from './meta-answers.ts'
import { isPressed, type Port, type Session, smallBytes } from './port.ts'

/** Commands that answer with values. */

/** Answers up to this size wait to be sent while the next is made. */
export const maxAnswerBytes = 256 * 1024
/** A line may name a hundred thousand keys: so many are looked up before others have their turn. */
const keysPerTurn = 1000
/** Members that are asked for, or written, at once for one command. */
const keysAtOnce = 100
const bytesAtOnce = 1024 * 1024

export function get(session: Session, command: Get): MaybePromise<void> {
  const next = getSome(session, command, 0)
  if (next !== command.keys.length) return getRest(session, command, next)
  session.out.endOfList()
}

async function getRest(session: Session, command: Get, next: number | Promise<number>): Promise<void> {
  let at = await next
  while (at < command.keys.length) {
    if (!(await session.room())) return
    at = await getSome(session, command, at)
  }
  session.out.endOfList()
}

/** Answers some of the keys, as far as there is room, and says with which one to go on. */
function getSome({ port, out }: Session, command: Get, from: number): number | Promise<number> {
  const { keys, withCas } = command
  const end = Math.min(keys.length, from + keysPerTurn)
  for (let at = from; at < end; at++) {
    if (out.byteLength >= maxAnswerBytes) return at
    const found = port.db.get(port.collection, keys[at]!)
    if (found instanceof Promise) return getMany(port, out, command, at, found)
    putFound(port, out, keys[at]!, found, withCas)
  }
  return end
}

/** As `getSome`, with several under way at once: for an engine that is asked over a network. */
async function getMany(
  port: Port,
  out: Answers,
  { keys, withCas }: Get,
  from: number,
  first: Promise<Member | null>,
): Promise<number> {
  const some = keys.slice(from, from + keysAtOnce)
  const others = some.slice(1).map(async (key) => port.db.get(port.collection, key))
  const members = await Promise.all([first, ...others])
  for (const [i, key] of some.entries()) putFound(port, out, key, members[i] ?? null, withCas)
  return from + some.length
}

function putFound(port: Port, out: Answers, key: string, found: Member | null, withCas: boolean): void {
  countGet(port, found !== null)
  if (found === null) return
  const value = wireValue(found.value)
  requireRoom(port, value.length)
  out.value(key, clientFlags(found.flags), value, withCas ? found.revision : null)
}

function countGet({ counts }: Port, hit: boolean): void {
  counts.cmd_get++
  if (hit) counts.get_hits++
  else counts.get_misses++
}

function requireRoom(port: Port, bytes: number): void {
  if (bytes > smallBytes && isPressed(port))
    throw new Refusal('SERVER_ERROR out of memory writing get response')
}

/** `gat` and `gats`: each key by itself, several at once, answered in their order. */
export async function getAndTouch(session: Session, command: Get, exptime: number): Promise<void> {
  const { port, out } = session
  const { keys, withCas } = command
  for (let at = 0; at < keys.length; ) {
    const from = at
    const touching: Promise<Changed<null>>[] = []
    for (let bytes = 0; at < keys.length && at - from < keysAtOnce && bytes < bytesAtOnce; at++) {
      const found = await port.db.get(port.collection, keys[at]!)
      bytes += found?.value.length ?? 0
      const one = touchItem(port, keys[at]!, exptime)
      one.catch(() => {}) // told below, unless what comes in between fails
      touching.push(one)
    }
    for (const [i, { found, revision }] of (await Promise.all(touching)).entries()) {
      countGet(port, found !== null)
      countTouch(port, found !== null)
      if (found === null) continue
      requireRoom(port, found.value.length)
      out.value(keys[from + i]!, clientFlags(found.flags), found.value, withCas ? revision : null)
    }
    if (at < keys.length && !(await session.room())) return
  }
  out.endOfList()
}

/** Gives the member of a key another expiry; found as it was before. */
export function touchItem(port: Port, key: string, exptime: number): Promise<Changed<null>> {
  return port.change(key, (found, nowMs): Change<null> => {
    return { outcome: null, write: found === null ? null : touched(found, exptime, nowMs) }
  })
}

export function countTouch({ counts }: Port, hit: boolean): void {
  counts.cmd_touch++
  if (hit) counts.touch_hits++
  else counts.touch_misses++
}

/** Most need no write, and are answered from what is read; the others decide anew on what they then write over. */
export function metaGet(session: Session, command: MetaGet): MaybePromise<void> {
  session.port.counts.cmd_meta++
  const found = session.port.db.get(session.port.collection, command.key)
  if (found instanceof Promise) return found.then((member) => answerMetaGet(session, command, member))
  return answerMetaGet(session, command, found)
}

function answerMetaGet(session: Session, command: MetaGet, member: Member | null): MaybePromise<void> {
  const { port, out } = session
  const nowMs = port.now()
  const outcome = decideMetaGet(command, member === null ? null : itemOf(member), nowMs)
  if (outcome.status === 'miss') {
    countGet(port, false)
    answerMetaMiss(out, command)
    return
  }
  if (outcome.write !== null) return changeMetaGet(session, command)
  countGet(port, true)
  if (command.wantsValue) requireRoom(port, wireBytes(outcome.item.value))
  answerMetaHit(out, command, outcome, nowMs)
}

async function changeMetaGet({ port, out }: Session, command: MetaGet): Promise<void> {
  const done = await port.change(command.key, (found, nowMs): Change<ReturnType<typeof decideMetaGet>> => {
    const outcome = decideMetaGet(command, found, nowMs)
    return { outcome, write: outcome.status === 'hit' ? outcome.write : null }
  })
  const { outcome, revision, nowMs } = done
  countGet(port, done.found !== null)
  if (outcome.status === 'miss') {
    answerMetaMiss(out, command)
    return
  }
  const item = revision === 0 ? outcome.item : { ...outcome.item, revision }
  answerMetaHit(out, command, { ...outcome, item }, nowMs)
}

export function debug(session: Session, command: MetaDebug): MaybePromise<void> {
  session.port.counts.cmd_meta++
  const found = session.port.db.get(session.port.collection, command.key)
  if (found instanceof Promise) return found.then((member) => answerDebug(session, command, member))
  answerDebug(session, command, found)
}

function answerDebug({ port, out }: Session, command: MetaDebug, member: Member | null): void {
  if (member === null) out.line('EN')
  else answerMetaDebug(out, command, itemOf(member), port.now())
}
