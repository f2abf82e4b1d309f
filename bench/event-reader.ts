const longestSizeLine = 40
const longestHead = 16_000

/**
 * Reads an answer of status 200 with a chunked event stream, as it comes over the wire, and gives each block of it (what
 * stands between empty lines) to `onBlock`. Bytes are latin1, and no carriage return may stand in the stream itself.
 * Throws at anything else, and at the end of the stream.
 */
export function eventReader(onBlock: (block: string) => void): (wire: string) => void {
  let pending = ''
  let inHead = true
  let leftOfChunk = 0
  let body = ''

  function readHead(): boolean {
    const end = pending.indexOf('\r\n\r\n')
    if (end < 0 && pending.length < longestHead) return false
    const head = pending.slice(0, end)
    if (!head.startsWith('HTTP/1.1 200 ') || !/^transfer-encoding: *chunked$/im.test(head)) {
      throw new Error(`no chunked stream: ${pending.slice(0, 300)}`)
    }
    pending = pending.slice(end + 4)
    inHead = false
    return true
  }

  /** False when the line is not all there. The line break at the end of the chunk before stands in front of it. */
  function readSize(): boolean {
    const [line, size] = /^(?:\r\n)?([0-9a-f]+)\r\n/i.exec(pending) ?? []
    if (line === undefined || size === undefined) {
      if (pending.length > longestSizeLine) throw new Error(`no size of a chunk: ${pending.slice(0, 300)}`)
      return false
    }
    leftOfChunk = Number.parseInt(size, 16)
    if (leftOfChunk === 0) throw new Error('the stream has ended')
    pending = pending.slice(line.length)
    return true
  }

  return (wire) => {
    pending += wire
    if (inHead && !readHead()) return
    while (leftOfChunk > 0 ? pending !== '' : readSize()) {
      const piece = pending.slice(0, leftOfChunk)
      body += piece
      leftOfChunk -= piece.length
      pending = pending.slice(piece.length)
    }
    let from = 0
    for (let end = body.indexOf('\n\n'); end >= 0; end = body.indexOf('\n\n', from)) {
      onBlock(body.slice(from, end))
      from = end + 2
    }
    body = body.slice(from)
  }
}
