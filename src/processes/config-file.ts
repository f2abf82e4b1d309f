import { dirname, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseCollection } from '../core/keys.ts'
import type { Process } from '../core/process.ts'
import { requireSchema } from '../core/schema/schema.ts'
import { parseSettings, type Settings } from '../core/settings.ts'
import { type IsolatedProcess, isolated } from './isolated.ts'

/**
 * The configuration file that `--config` names: `export default { processes: ['./tidy.ts'], collections: { notes: {
 * processes: ['./tidy.ts', 'mark'], default_ttl: '7d', sliding: true } } }`, or the same in JSON. Only this file can
 * name files to run: it belongs to the operator, and no request can change it. It names the operator's processes by
 * their paths; settings sent over HTTP name them by their own names.
 */
export interface ConfigFile {
  readonly processes: readonly Process[]
  /** The settings of collections, by name; they cannot be changed over HTTP. */
  readonly settings: ReadonlyMap<string, Settings>
  stop(): void
}

type Fields = Readonly<Record<string, unknown>>

/**
 * Loads the file and the processes that it names. Rejects with a one-line message for the operator if something in it
 * is wrong. `builtIn` are the processes that exist anyway.
 */
export async function loadConfigFile(path: string, builtIn: readonly Process[]): Promise<ConfigFile> {
  const file = resolve(path)
  const { processes = [], collections = {}, ...others } = fieldsOf(await contentOf(file), path)
  const [other] = Object.keys(others)
  if (other !== undefined)
    throw new Error(`${path}: there is no "${other}"; known are processes, collections`)
  if (!isTexts(processes)) throw new Error(`${path}: "processes" is a list of paths`)

  const perCollection = Object.entries(fieldsOf(collections, `${path}: "collections"`))
  const named = perCollection.flatMap(([, settings]) => namesIn(settings).filter(isPath))
  const folder = dirname(file)
  const threads = new Map<string, IsolatedProcess>()
  try {
    for (const name of new Set([...processes, ...named].map((one) => resolve(folder, one)))) {
      threads.set(name, await isolated(name))
    }
    requireOwnNames(path, [...builtIn, ...threads.values()])
    const called = (name: string) => (isPath(name) ? threads.get(resolve(folder, name))!.name : name)
    const known = new Set([...builtIn, ...threads.values()].map(({ name }) => name))
    const settings = perCollection.map(([collection, given]) => {
      const parsed = settingsOf(path, collection, given, called)
      const unknown = parsed.processes?.find((name) => !known.has(name))
      if (unknown !== undefined) throw new Error(`${path}: ${collection}: there is no process "${unknown}"`)
      return [collection, parsed] as const
    })
    return { processes: [...threads.values()], settings: new Map(settings), stop: () => stopAll(threads) }
  } catch (error) {
    stopAll(threads)
    throw error
  }
}

async function contentOf(file: string): Promise<unknown> {
  try {
    const { default: content }: { default?: unknown } = await import(pathToFileURL(file).href)
    return content
  } catch (error) {
    throw new Error(`${file} cannot be read: ${error instanceof Error ? error.message : error}`)
  }
}

function fieldsOf(given: unknown, where: string): Fields {
  if (typeof given === 'object' && given !== null && !Array.isArray(given)) return given as Fields
  throw new Error(`${where} is no object`)
}

function isTexts(given: unknown): given is readonly string[] {
  return Array.isArray(given) && given.every((one) => typeof one === 'string')
}

/** Returns whether it is the path of a file, not the name of a process. */
function isPath(name: string): boolean {
  return name.includes('/')
}

function namesIn(settings: unknown): readonly string[] {
  if (typeof settings !== 'object' || settings === null || !('processes' in settings)) return []
  return isTexts(settings.processes) ? settings.processes : []
}

function requireOwnNames(path: string, processes: readonly Process[]): void {
  const names = processes.map(({ name }) => name)
  const twice = names.find((name, i) => names.indexOf(name) !== i)
  if (twice !== undefined) throw new Error(`${path}: two processes are called "${twice}"`)
}

function settingsOf(
  path: string,
  collection: string,
  given: unknown,
  called: (name: string) => string,
): Settings {
  try {
    parseCollection(collection)
    const settings = parseSettings(given)
    if (settings.schema !== null) requireSchema(settings.schema)
    return { ...settings, processes: settings.processes?.map(called) ?? null }
  } catch (error) {
    throw new Error(`${path}: ${collection}: ${error instanceof Error ? error.message : error}`)
  }
}

function stopAll(threads: ReadonlyMap<string, IsolatedProcess>): void {
  for (const thread of threads.values()) thread.stop()
}
