/** Reading all changes since the beginning, by pages and as a stream. Both count what they were told. */

const pageLimit = 10_000
/** How changes look in an answer; in no value of members.ts. */
const changeMark = Buffer.from('"type":"put"')
const nextMark = Buffer.from('"next":')

/** Pages until so many changes were told. Throws when there is no more before. */
export async function readPages(port: number, changes: number): Promise<void> {
  let since = '0'
  for (let reported = 0; reported < changes; ) {
    const url = `http://127.0.0.1:${port}/v1/_changes?since=${encodeURIComponent(since)}&limit=${pageLimit}`
    const reply = await fetch(url)
    const page = Buffer.from(await reply.arrayBuffer())
    if (reply.status !== 200)
      throw new Error(`${url} answered ${reply.status}: ${page.toString().slice(0, 300)}`)
    const next = nextOf(page)
    if (next === since) throw new Error(`the changes end at ${reported} of ${changes}`)
    since = next
    reported += countOf(page, changeMark)
  }
}

/** The last member of the page, a number or a string. To parse the whole page would measure the parser. */
function nextOf(page: Buffer): string {
  const at = page.lastIndexOf(nextMark)
  const next: unknown = JSON.parse(`{${page.toString('utf8', at).trim().replace(/\}$/, '')}}`).next
  return String(next)
}

/** One stream until it has told so many changes, which is when it is left. */
export async function readStream(port: number, changes: number): Promise<void> {
  const leaving = new AbortController()
  const reply = await fetch(`http://127.0.0.1:${port}/v1/_changes?since=0`, {
    headers: { accept: 'text/event-stream' },
    signal: leaving.signal,
  })
  if (reply.status !== 200 || reply.body === null) throw new Error(`the stream answered ${reply.status}`)
  let reported = 0
  let tail = Buffer.alloc(0)
  for await (const chunk of reply.body) {
    const bytes = Buffer.concat([tail, chunk])
    reported += countOf(bytes, changeMark)
    if (reported >= changes) break
    // A mark may be cut by the end of the chunk; what is kept is too short to hold a whole one.
    tail = bytes.subarray(Math.max(0, bytes.length - changeMark.length + 1))
  }
  leaving.abort()
  if (reported !== changes) throw new Error(`the stream told ${reported} changes of ${changes}`)
}

function countOf(bytes: Buffer, mark: Buffer): number {
  let count = 0
  for (let at = bytes.indexOf(mark); at >= 0; at = bytes.indexOf(mark, at + mark.length)) count++
  return count
}
