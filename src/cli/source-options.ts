import { readFileSync } from 'node:fs'
import type { Importer, ImporterOption, ImporterOptions } from '../importers/importer.ts'
import { type SourceName, sourceNames } from '../importers/table.ts'
import { choice, text, toggle, wholeNumber } from '../option-kinds.ts'
import { option, refuse, type Values } from '../options.ts'
import { wallClockMs } from '../runtime/wall-clock.ts'
import { authoritiesOf, optionalText } from './connection.ts'

/** Options of `kvist import` that mean something with `--from` only. */
export const sourceOptions = {
  from: option<SourceName | undefined>({
    ...choice<SourceName>(...sourceNames),
    flag: 'from',
    default: undefined,
    help: 'take the file or server of another store',
  }),
  key: optionalText('key', 'NAME', 'the column or field that holds the key, of csv and json'),
  infer: option({
    ...toggle(),
    flag: 'infer',
    default: false,
    help: 'of csv: numbers, true, false and empty fields as JSON rather than text',
  }),
  delimiter: option<string | undefined>({
    ...text('TEXT', '1 to 8 characters', (given) => (/^.{1,8}$/s.test(given) ? given : null)),
    flag: 'delimiter',
    default: undefined,
    help: 'of csv: what stands between fields; default: a comma',
  }),
  json: option({
    ...toggle(),
    flag: 'json',
    default: false,
    help: 'store values that are JSON as JSON rather than as text',
  }),
  prefix: optionalText('prefix', 'TEXT', 'put this before every key'),
  database: option<number | undefined>({
    ...wholeNumber(0, 1_000_000),
    flag: 'database',
    default: undefined,
    help: 'the database of Redis; default: 0',
  }),
  encodeKeys: option({
    ...toggle(),
    flag: 'encode-keys',
    default: false,
    help: 'store keys that are not UTF-8, as base64: and their base64url',
  }),
  dryRun: option({
    ...toggle(),
    flag: 'dry-run',
    default: false,
    help: 'read everything and report, store nothing',
  }),
  report: optionalText('report', 'FILE', 'write each entry that was not taken to this file, with the reason'),
  sourcePassword: option<string | null>({
    ...text('PASSWORD', 'a text', (given) => (given === '' ? null : given)),
    env: 'KVIST_SOURCE_PASSWORD', // no flag: flags are visible in the process list
    default: null,
    help: 'password for the server that --from reads',
    secret: true,
  }),
  sourcePasswordFile: optionalText('source-password-file', 'FILE', 'file that holds that password'),
  sourceCa: optionalText('source-ca', 'FILE', 'authorities that sign the certificate of that server, in PEM'),
}

export type SourceValues = Values<typeof sourceOptions>

/** The options that mean something with some sources only. */
const ofSources = {
  key: 'key',
  infer: 'infer',
  delimiter: 'delimiter',
  json: 'json',
  database: 'database',
  encodeKeys: 'encodeKeys',
  sourcePasswordFile: 'login',
  sourceCa: 'login',
} as const satisfies Partial<Record<keyof SourceValues, ImporterOption>>

/** Throws UsageError for an option that needs `--from`. */
export function refuseSourceOptions(given: SourceValues): void {
  for (const name of [...Object.keys(ofSources), 'prefix', 'dryRun', 'report'] as (keyof SourceValues)[])
    if (isGiven(given[name])) refuse(`--${flagOf(name)} needs --from`)
}

/** Throws UsageError for an option that means nothing with this source. */
export function refuseOtherOptions(from: SourceName, importer: Importer, given: SourceValues): void {
  for (const [name, kind] of Object.entries(ofSources) as [keyof typeof ofSources, ImporterOption][]) {
    if (isGiven(given[name]) && !importer.options.includes(kind))
      refuse(`--${flagOf(name)} means nothing with --from ${from}`)
  }
}

export function importerOptions(given: SourceValues, note: (line: string) => void): ImporterOptions {
  return {
    key: given.key ?? null,
    infer: given.infer,
    delimiter: given.delimiter ?? ',',
    json: given.json,
    database: given.database ?? null,
    encodeKeys: given.encodeKeys,
    password: passwordOf(given),
    ca: authoritiesOf({ ca: given.sourceCa ?? null }, 'source-ca'),
    note,
    now: wallClockMs,
  }
}

function passwordOf({ sourcePassword, sourcePasswordFile: file }: SourceValues): string | null {
  if (file === undefined) return sourcePassword
  if (sourcePassword !== null) refuse('KVIST_SOURCE_PASSWORD and --source-password-file are both given')
  const password = readFileSync(file, 'utf8').replace(/\r?\n$/, '')
  return password === '' ? refuse(`${file} holds no password`) : password
}

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null && value !== false
}

function flagOf(name: keyof SourceValues): string {
  const { flag }: { readonly flag?: string } = sourceOptions[name]
  return flag ?? name
}
