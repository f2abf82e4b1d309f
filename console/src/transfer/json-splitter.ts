/** An element of an array, or a member of an object with its name, whose text was not parsed. */
export interface JsonPart {
  /** Null in an array. */
  readonly name: string | null
  readonly text: string
}

/**
 * Splits a JSON array or object into its parts as its text arrives, so that values keep their digits and a file need not
 * fit into memory. It checks only what is around the parts: a part that is no JSON is refused where it is stored.
 */
export class JsonSplitter {
  private rest = ''
  private scanned = 0
  private depth = 0
  private isInString = false
  private isEscaped = false
  private close = ''
  private name: string | null = null
  private hasParts = false
  private hasEnded = false

  /** Whether the text is an array; null before its first character. */
  get isArray(): boolean | null {
    return this.close === '' ? null : this.close === ']'
  }

  /** Returns the parts that end in this text. Throws for what is neither an array nor an object. */
  push(text: string): JsonPart[] {
    this.rest += text
    const parts: JsonPart[] = []
    let from = 0
    for (let at = this.scanned; at < this.rest.length; at++) {
      const char = this.rest[at]!
      if (this.hasEnded) {
        if (!isSpace(char)) throw new Error('there is something behind the end of the JSON')
      } else if (this.close === '') {
        from = at + 1
        this.begin(char)
      } else if (this.isInString) this.scanString(char)
      else if (char === '"') this.isInString = true
      else if (this.depth === 0 && char === ':' && this.close === '}' && this.name === null) {
        this.name = nameOf(this.rest.slice(from, at))
        from = at + 1
      } else if (this.depth === 0 && (char === ',' || char === this.close)) {
        this.end(this.rest.slice(from, at).trim(), char, parts)
        from = at + 1
      } else if (char === '[' || char === '{') this.depth++
      else if (char === ']' || char === '}') this.depth--
    }
    this.rest = this.rest.slice(from)
    this.scanned = this.rest.length
    return parts
  }

  /** Throws if the text ended too early. */
  finish(): void {
    if (!this.hasEnded) throw new Error('the JSON ends before it is complete')
  }

  private begin(char: string): void {
    if (char === '[' || char === '{') this.close = char === '[' ? ']' : '}'
    else if (!isSpace(char) && char !== '\ufeff')
      throw new Error('the JSON is neither an array nor an object')
  }

  private scanString(char: string): void {
    if (this.isEscaped) this.isEscaped = false
    else if (char === '\\') this.isEscaped = true
    else if (char === '"') this.isInString = false
  }

  private end(text: string, char: string, parts: JsonPart[]): void {
    const isLast = char === this.close
    if (text === '' && (!isLast || this.hasParts || this.name !== null))
      throw new Error('a value is missing in the JSON')
    if (text !== '' && !this.isArray && this.name === null) throw new Error('a name is missing in the JSON')
    if (text !== '') parts.push({ name: this.name, text })
    this.hasParts = true
    this.name = null
    this.hasEnded = isLast
  }
}

function isSpace(char: string): boolean {
  return char === ' ' || char === '\n' || char === '\r' || char === '\t'
}

function nameOf(text: string): string {
  const name: unknown = JSON.parse(text)
  if (typeof name !== 'string') throw new Error('a name in the JSON is no string')
  return name
}
