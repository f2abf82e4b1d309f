import { join } from 'node:path'
import { parseArgs } from 'node:util'

/** The options of the programs: their meanings, and their defaults in full and in quick runs. */

interface Option {
  readonly help: string
  readonly full: string
  readonly quick: string
}

const common = {
  data: {
    help: 'folder for the data of the servers; what they keep there is removed',
    ...same(join(import.meta.dir, '.data')),
  },
} as const

export const benchOptions = {
  ...common,
  rounds: { help: 'rounds, in each of which every contestant runs once', full: '3', quick: '1' },
  seconds: { help: 'seconds a round of GET and lists lasts', full: '10', quick: '2' },
  'put-seconds': { help: 'seconds a round of PUT lasts', full: '30', quick: '3' },
  members: { help: 'members in the store', full: '1000000', quick: '200000' },
  only: { help: 'loads, by name, with commas between', ...same('') },
  contestants: { help: 'contestants, by name, with commas between', ...same('') },
  name: { help: 'name of the files in bench/results', full: 'bench', quick: 'bench-quick' },
}

export const scaleOptions = {
  ...common,
  only: { help: 'steps after the import, by name, with commas between', ...same('') },
  rounds: { help: 'rounds of reading', full: '3', quick: '1' },
  seconds: { help: 'seconds a round of reading lasts', full: '5', quick: '2' },
  members: { help: 'members in the large store', full: '10000000', quick: '200000' },
  starts: { help: 'starts after a clean stop, and after a kill', full: '5', quick: '2' },
  quiet: { help: 'seconds of quiet before idle memory is read', full: '30', quick: '5' },
  minutes: { help: 'minutes of writing', full: '10', quick: '0.2' },
  name: { help: 'name of the files in bench/results', full: 'scale', quick: 'scale-quick' },
}

export const metricsOptions = {
  ...common,
  rounds: { help: 'runs of each', full: '40', quick: '3' },
  seconds: { help: 'seconds of a run', ...same('1') },
}

export const accessOptions = {
  ...common,
  rounds: { help: 'runs of each', full: '20', quick: '2' },
  seconds: { help: 'seconds of a run', full: '2', quick: '1' },
  members: { help: 'members in the store', ...same('30000') },
}

export const fillingOptions = {
  ...common,
  members: { help: 'members that a new target gets', full: '1000000', quick: '100000' },
}

export const tlsOptions = {
  ...common,
  rounds: { help: 'rounds, in each of which every way has its turn', full: '8', quick: '2' },
  seconds: { help: 'seconds a turn lasts', full: '5', quick: '2' },
  members: { help: 'members in the store', full: '100000', quick: '20000' },
}

export const backupOptions = {
  ...common,
  rounds: { help: 'rounds, in each of which both have their turn', full: '8', quick: '3' },
  seconds: { help: 'seconds a turn lasts', full: '5', quick: '3' },
  members: { help: 'members in the store', full: '1000000', quick: '200000' },
}

export const redisOptions = {
  ...common,
  rounds: { help: 'rounds, in each of which every way has its turn', full: '6', quick: '2' },
  seconds: { help: 'seconds a turn lasts', full: '5', quick: '2' },
  members: { help: 'members in the store', full: '100000', quick: '10000' },
}

export const redisClusterOptions = {
  ...common,
  rounds: { help: 'rounds, in each of which every step has its turn', full: '4', quick: '2' },
  seconds: { help: 'seconds a turn lasts', full: '5', quick: '2' },
  members: { help: 'members in the store', full: '1000000', quick: '50000' },
  changes: { help: 'changes that are watched', full: '10000', quick: '2000' },
  rate: { help: 'changes a second', ...same('500') },
}

export const cacheNodeOptions = {
  ...common,
  rounds: { help: 'rounds, in each of which every way has its turn', full: '6', quick: '2' },
  seconds: { help: 'seconds a turn lasts', full: '5', quick: '2' },
  members: { help: 'members in the store', full: '50000', quick: '5000' },
}

export const whereOptions = {
  ...common,
  rounds: { help: 'rounds of each', full: '20', quick: '3' },
  members: { help: 'members in the store', full: '200000', quick: '20000' },
}

export const indexesOptions = {
  ...common,
  only: { help: 'parts, by name, with commas between', ...same('') },
  'put-seconds': { help: 'seconds a turn of puts over HTTP lasts', full: '30', quick: '3' },
  members: {
    help: 'members of the collection whose index is built and read',
    full: '1000000',
    quick: '50000',
  },
}

export const largeValuesOptions = {
  ...common,
  rounds: { help: 'runs of each store', full: '3', quick: '1' },
  small: { help: 'small members that are flushed', full: '1000000', quick: '100000' },
  megabytes: { help: 'values of 1 MB in the store with large values', full: '1000', quick: '50' },
  huge: { help: 'values of 15 MB in it', full: '20', quick: '3' },
}

export const valueSizesOptions = {
  ...common,
  rounds: { help: 'rounds, in each of which every contestant runs once', full: '3', quick: '1' },
  seconds: { help: 'seconds a round lasts', full: '5', quick: '1' },
  name: { help: 'name of the files in bench/results', full: 'value-sizes', quick: 'value-sizes-quick' },
}

export const idleOptions = {
  ...common,
  rounds: { help: 'rounds, in each of which both have their turn', full: '8', quick: '2' },
  seconds: { help: 'seconds a turn lasts', full: '3', quick: '1' },
  members: { help: 'members in the store', ...same('100000') },
  connections: { help: 'idle connections', full: '10000', quick: '1000' },
}

export const memcachedOptions = {
  ...common,
  rounds: { help: 'rounds, in each of which every contestant runs once', full: '5', quick: '1' },
  seconds: { help: 'seconds a round lasts', full: '5', quick: '1' },
  members: { help: 'members in the store', full: '100000', quick: '20000' },
  slaps: { help: 'times that each thread of memcslap asks', full: '10000', quick: '500' },
  only: { help: 'loads, by name, with commas between', ...same('') },
  name: { help: 'name of the file in bench/results', full: 'memcached', quick: 'memcached-quick' },
}

export const watchOptions = {
  ...common,
  only: { help: 'steps, by name, with commas between', ...same('') },
  rounds: {
    help: 'rounds of each step; an even number alternates the order evenly',
    full: '6',
    quick: '1',
  },
  seconds: { help: 'seconds a round of changes or of PUT lasts', full: '10', quick: '2' },
  quiet: { help: 'seconds of quiet before the memory of idle watchers is read', full: '30', quick: '3' },
  watchers: { help: 'open watchers', ...same('10000') },
  keys: { help: 'keys that they are spread over', ...same('1000') },
  'one-key-watchers': {
    help: 'watchers of the one key that changes a hundred times a second',
    ...same('1000'),
  },
  'idle-watchers': { help: 'idle watchers while others write', ...same('1000') },
  members: { help: 'members whose changes are caught up with', full: '1000000', quick: '200000' },
  name: { help: 'name of the files in bench/results', full: 'watch', quick: 'watch-quick' },
}

export type Chosen<Names extends string> = {
  readonly quick: boolean
  text(name: Names): string
  number(name: Names): number
  list(name: Names): string[]
}

function same(value: string): { full: string; quick: string } {
  return { full: value, quick: value }
}

/** Returns the named rows, in the order of the rows; all of them if none is named. */
export function pick<Named extends { readonly name: string }>(
  all: readonly Named[],
  names: readonly string[],
): Named[] {
  const unknown = names.find((name) => !all.some((one) => one.name === name))
  if (unknown !== undefined)
    throw new Error(`${unknown} is none of ${all.map(({ name }) => name).join(', ')}`)
  return all.filter(({ name }) => names.length === 0 || names.includes(name))
}

/** Reads the command line. Ends the program with a message if it is invalid, or with the help if that is requested. */
export function chooseOptions<Names extends string>(rows: Readonly<Record<Names, Option>>): Chosen<Names> {
  const values = readArguments(Object.keys(rows))
  if (values.get('help')) {
    process.stdout.write(helpOf(rows))
    process.exit(0)
  }
  const quick = values.get('quick') === true
  function text(name: Names): string {
    const given = values.get(name)
    return typeof given === 'string' ? given : rows[name][quick ? 'quick' : 'full']
  }
  return {
    quick,
    text,
    number(name) {
      const number = Number(text(name))
      if (!(number > 0)) refuse(`--${name} must be a number above 0`)
      return number
    },
    list: (name) => text(name).split(',').filter(Boolean),
  }
}

function readArguments(names: readonly string[]) {
  const named = Object.fromEntries(names.map((name) => [name, { type: 'string' as const }]))
  try {
    const { values } = parseArgs({
      options: { ...named, quick: { type: 'boolean' }, help: { type: 'boolean' } },
    })
    return new Map(Object.entries(values))
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error))
  }
}

function refuse(why: string): never {
  process.stderr.write(`${why}\n`)
  process.exit(2)
}

function helpOf(rows: Readonly<Record<string, Option>>): string {
  const lines = Object.entries(rows).map(([name, { help, full, quick }]) => {
    const values = full === quick ? full : `${full}; quick: ${quick}`
    return `  --${name.padEnd(12)} ${help}${values ? ` (${values})` : ''}`
  })
  return `${['  --quick        short runs, to see that it works', ...lines].join('\n')}\n`
}
