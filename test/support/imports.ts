import { spyOn } from 'bun:test'
import { join } from 'node:path'
import { explain } from '../../src/cli/explain.ts'
import { importCommand } from '../../src/cli/import.ts'
import { signalExitCodes } from '../../src/cli/signals.ts'

/** Runs `kvist import` in the process of the test. */

export const importFixtures = join(import.meta.dir, '../fixtures/import')

export interface Imported {
  readonly exitCode: number
  /** The lines on standard error, without `kvist: `. */
  readonly lines: readonly string[]
}

export async function runImport(
  url: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Imported> {
  let stderr = ''
  const writing = spyOn(process.stderr, 'write').mockImplementation((text) => {
    stderr += String(text)
    return true
  })
  const signals = Object.keys(signalExitCodes) as NodeJS.Signals[]
  const before = signals.map((signal) => new Set(process.listeners(signal)))
  let exitCode: number
  try {
    exitCode = await importCommand.main(args, { KVIST_URL: url, ...env })
  } catch (error) {
    const explained = explain(error)
    exitCode = explained.exitCode
    stderr += `kvist: ${explained.line}\n`
  } finally {
    writing.mockRestore()
    for (const [i, signal] of signals.entries())
      for (const listener of process.listeners(signal))
        if (!before[i]!.has(listener)) process.removeListener(signal, listener)
  }
  return {
    exitCode,
    lines: stderr
      .trimEnd()
      .replaceAll(/^kvist: /gm, '')
      .split('\n'),
  }
}

/** Returns the members of a collection as the server lists them, with what an import sets. */
export async function membersOf(url: string, collection: string): Promise<Record<string, object>> {
  const members: Record<string, object> = {}
  const response = await fetch(`${url}/v1/${collection}?include=all`, {
    headers: { accept: 'application/x-ndjson' },
  })
  for (const line of (await response.text()).trim().split('\n')) {
    if (line === '') continue
    const { key, value, value_text, value_base64, content_type, expires_at, flags } = JSON.parse(line)
    const all = { value, value_text, value_base64, content_type, expires_at, flags }
    const isUsual = (given: unknown) => given === undefined || given === null || given === 'application/json'
    members[key] = Object.fromEntries(
      Object.entries(all).filter(([name, given]) => name === 'value' || !(isUsual(given) || given === 0)),
    )
    if (value === undefined) Reflect.deleteProperty(members[key]!, 'value')
  }
  return members
}
