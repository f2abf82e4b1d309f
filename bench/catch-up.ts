/** Reads all changes since the beginning, by pages and as a stream, and counts them. */

const pageLimit = 10_000
/** The text of a change in a response; no value of members.ts contains it. */
const changeMark = Buffer.from('"type":"put"')
const nextMark = Buffer.from('"next":')

/** Reads pages until it has counted `changes`. Throws if the feed ends before. */
export async function readPages(port: number, changes: number): Promise<void> {
  let since = '0'
  for (let reported = 0; reported < changes; ) {
    const url = `http://127.0.0.1:${port}/v1/_changes?since=${encodeURIComponent(since)}&limit=${pageLimit}`
    const reply = await fetch(url)
    const page = Buffer.from(await reply.arrayBuffer())
    if (reply.status !== 200)
      throw new Error(`${url} responded ${reply.status}: ${page.toString().slice(0, 300)}`)
    const next = nextOf(page)
    if (next === since) throw new Error(`the changes end at ${reported} of ${changes}`)
    since = next
    reported += countOf(page, changeMark)
  }
}

/**
 * Returns the page's `next`, its last JSON member, a number or a string. Parsing the whole page would measure the
 * parser.
 */
function nextOf(page: Buffer): string {
  const at = page.lastIndexOf(nextMark)
  const next: unknown = JSON.parse(`{${page.toString('utf8', at).trim().replace(/\}$/, '')}}`).next
  return String(next)
}

/** Reads one stream until it has counted `changes`, then closes it. */
export async function readStream(port: number, changes: number): Promise<void> {
  const leaving = new AbortController()
  const reply = await fetch(`http://127.0.0.1:${port}/v1/_changes?since=0`, {
    headers: { accept: 'text/event-stream' },
    signal: leaving.signal,
  })
  if (reply.status !== 200 || reply.body === null) throw new Error(`the stream responded ${reply.status}`)
  let reported = 0
  let tail = Buffer.alloc(0)
  for await (const chunk of reply.body) {
    const bytes = Buffer.concat([tail, chunk])
    reported += countOf(bytes, changeMark)
    if (reported >= changes) break
    // The end of the chunk may split a mark; the kept tail is too short to contain a whole one.
    tail = bytes.subarray(Math.max(0, bytes.length - changeMark.length + 1))
  }
  leaving.abort()
  if (reported !== changes) throw new Error(`the stream had ${reported} changes of ${changes}`)
}

function countOf(bytes: Buffer, mark: Buffer): number {
  let count = 0
  for (let at = bytes.indexOf(mark); at >= 0; at = bytes.indexOf(mark, at + mark.length)) count++
  return count
}
