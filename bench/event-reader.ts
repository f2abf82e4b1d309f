const longestSizeLine = 40
const longestHead = 16_000

/**
 * Returns a reader of a raw HTTP response of status 200 with a chunked event stream. It calls `onBlock` with each
 * block, the text between empty lines. Bytes are latin1, and the stream itself must not contain a carriage return.
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

  /**
   * Reads the size of the next chunk, after the line break that ends the previous chunk. Returns false if the line is
   * incomplete.
   */
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
