import type { TextClient } from './text-client.ts'
import { ToyServer } from './toy-server.ts'

/**
 * Talks with a memcached, real or toy, that can be compared. Requests are text, a letter for a byte, in
 * which `{x*100}` stands for a hundred x and `{cas:2}` for the second cas unique that was seen.
 */

/** A little under a megabyte, memcached's own limit. */
export const maxValueBytes = 1_000_000

/** Sends one request and returns what came back, and whether the connection was closed. */
export type Ask = (bytes: Uint8Array) => Promise<{ readonly said: string; readonly closed: boolean }>

/** A connection to an empty toy server; with `touchRenews` it is like kvist where that differs from memcached. */
export function toy(touchRenews = false): Ask {
  const connection = new ToyServer(maxValueBytes, touchRenews).connect()
  return async (bytes) => ({ said: connection.ask(bytes), closed: connection.closed })
}

/** A connection to a server, whose items go first. */
export async function emptied(client: TextClient): Promise<Ask> {
  const ask: Ask = async (bytes) => {
    client.send(bytes)
    const said = await client.until('MN\r\n')
    return { said, closed: client.isClosed() }
  }
  await ask(Buffer.from('flush_all\r\nmn\r\n'))
  return ask
}

/**
 * The responses to the requests, in order, made comparable; a closed connection ends them. Each request is followed by
 * `mn`, which shows where its response ends.
 */
export async function converse(requests: readonly string[], ask: Ask): Promise<string[]> {
  const seen: string[] = []
  const responses: string[] = []
  for (const request of requests) {
    const { said, closed } = await ask(Buffer.from(`${expand(request, seen)}mn\r\n`, 'latin1'))
    responses.push(comparable(closed ? `${said}<closed>` : said.replace(/MN\r\n$/, ''), seen))
    if (closed) break
  }
  return responses
}

function expand(request: string, seen: readonly string[]): string {
  return request
    .replace(/\{(.)\*(\d+)\}/gs, (_, letter: string, times: string) => letter.repeat(Number(times)))
    .replace(/\{cas:(\d+)\}/g, (_, nth: string) => seen[Number(nth) - 1] ?? '1')
}

/**
 * Cas uniques become `#1`, `#2`, … in the order in which they were first seen, times are rounded up to ten seconds,
 * and what `me` shows of memcached's memory and
 * `version` of kvist goes.
 */
function comparable(said: string, seen: string[]): string {
  const name = (_: string, before: string, cas: string): string => {
    if (cas === '0') return `${before}0`
    if (!seen.includes(cas)) seen.push(cas)
    return `${before}#${seen.indexOf(cas) + 1}`
  }
  return said
    .replace(/^(VALUE \S+ \d+ \d+ )(\d+)(?=\r$)/gm, name)
    .replace(/( cas=| c)(\d+)(?=[ \r])/g, name)
    .replace(/^(VERSION \S+) kvist\/\S+(?=\r$)/gm, '$1')
    .replace(/ fetch=\w+ cls=\d+ size=\d+/g, '')
    .replace(/( t|exp=-)(\d\d+)/g, (_, before: string, s: string) => before + Math.ceil(Number(s) / 10) * 10)
}
