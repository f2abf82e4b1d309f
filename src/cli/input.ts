import { readFileSync } from 'node:fs'
import { refuse } from '../options.ts'

/** Reads the input of commands: standard input and files. */

export async function readStandardInput(): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await Bun.stdin.arrayBuffer())
}

/** Returns the text of an operand; `-` reads standard input. */
export async function textOf(operand: string, name: string): Promise<string> {
  return operand === '-' ? decoded(await readStandardInput(), name) : operand
}

/** Returns the text of a file; `-` reads standard input. */
export async function textOfFile(file: string): Promise<string> {
  return decoded(file === '-' ? await readStandardInput() : readFileSync(file), file)
}

function decoded(bytes: Uint8Array, name: string): string {
  return decodeText(bytes) ?? refuse(`${name} is not UTF-8 text`)
}

/** Decodes UTF-8; null if the bytes are not UTF-8. */
export function decodeText(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return null
  }
}

/** Parses JSON with `parse`. Throws an error that names the source of invalid JSON. */
export function parseJson<Parsed>(text: string, name: string, parse: (text: string) => Parsed): Parsed {
  try {
    return parse(text)
  } catch (error) {
    const why = error instanceof Error ? error.message.replace(/^JSON Parse error: /, '') : String(error)
    refuse(`${name} is not JSON: ${why}`)
  }
}
