import { Kvist } from '../../sdk/client.ts'
import { anyText, list, toggle } from '../option-kinds.ts'
import { option, refuse, type Values } from '../options.ts'
import type { CompareOptions, Difference } from '../replication/compare.ts'
import { type ComparedNode, remoteNode } from '../replication/compared-node.ts'
import { comparedRules } from '../replication/selection.ts'
import { monotonicMs } from '../runtime/clock.ts'
import { tokenInFile, tokenOf } from '../token-file.ts'
import { authoritiesOf, connectionOptions, jsonOption, optionalText, quietOption } from './connection.ts'
import { complain } from './explain.ts'
import { startProgress } from './progress.ts'

/** What `nodes compare` and `nodes sync` have in common. */

export const comparedOperands = [
  { name: 'A', help: 'the URL of a server' },
  { name: 'B', help: 'the URL of the server to compare it with' },
] as const

export const comparedOptions = {
  collection: option<readonly string[]>({
    ...list(anyText('PATTERN')),
    flag: 'collection',
    short: 'c',
    default: [],
    help: 'only collections of this name; * is any run of characters, ? is one',
  }),
  prefix: optionalText('prefix', 'TEXT', 'only keys that begin with this'),
  tokens: option({ ...toggle(), flag: 'tokens', default: false, help: 'the tokens of the servers, too' }),
  json: { ...jsonOption, help: 'print a line of JSON for each difference' },
  quiet: quietOption,
  token: connectionOptions.token,
  tokenFile: connectionOptions.tokenFile,
  tokenFileB: option<string | null>({
    ...anyText('FILE'),
    flag: 'token-file-b',
    default: null,
    help: 'file that holds the token for B, where it is another one',
  }),
  ca: connectionOptions.ca,
}

export type ComparedValues = Values<typeof comparedOptions>

/** Returns the two servers. */
export function nodesOf(
  given: ComparedValues,
  [a = '', b = '']: readonly string[],
): [ComparedNode, ComparedNode] {
  const token = tokenOf(given) ?? undefined
  const ca = authoritiesOf(given)
  const tls = ca === null ? {} : { tls: { ca } }
  const nodeAt = (url: string, own: string | undefined) =>
    remoteNode(new Kvist(url, { token: own, ...tls, retries: 2 }), { timeoutMs: 0 })
  return [nodeAt(a, token), nodeAt(b, given.tokenFileB === null ? token : tokenInFile(given.tokenFileB))]
}

/** Shows how far a comparison has come, and remembers what it could not compare. */
export interface ComparisonRun {
  readonly options: CompareOptions
  members(): number
  isWhole(): boolean
  stop(): void
}

export async function startComparison({
  collection,
  prefix,
  tokens,
  quiet,
}: ComparedValues): Promise<ComparisonRun> {
  if (collection.some((pattern) => pattern.startsWith('_')))
    refuse("the names of kvist's own collections begin with _: settings are compared with their collections")
  const progress = await startProgress('comparing', null, quiet)
  let members = 0
  let isWhole = true
  return {
    options: {
      isCompared: comparedRules(collection, tokens),
      ...(prefix === undefined ? {} : { prefix }),
      elapsedMs: monotonicMs,
      sleep: (ms) => Bun.sleep(ms),
      onProgress(more) {
        members += more
        progress.update(members, members)
      },
      onPartial(name) {
        isWhole = false
        complain(`not compared: ${name}, of which a token does not reach all`)
      },
    },
    members: () => members,
    isWhole: () => isWhole,
    stop: progress.stop,
  }
}

export const differenceHeadings = ['COLLECTION', 'KEY', 'A', 'B', 'NEWER']

export function differenceRow({ collection, key, a, b, settlement }: Difference): readonly string[] {
  const newer = settlement.kind === 'copy' ? settlement.from : '?'
  return [collection, key, shown(a), shown(b), newer]
}

export function differenceJson({ collection, key, a, b, settlement }: Difference): string {
  const newer = settlement.kind === 'copy' ? settlement.from : null
  return JSON.stringify({ collection, key, a: stateJson(a), b: stateJson(b), newer })
}

function shown(state: Difference['a']): string {
  if (state.type === 'none') return '-'
  return `${state.type} ${writtenAt(state)} ${state.node}`
}

function stateJson(state: Difference['a']) {
  if (state.type === 'none') return { type: 'none' }
  const { type, node, clock } = state
  const expiry = state.type === 'put' ? { expires_at: timeOf(state.expiresAtMs) } : {}
  return { type, origin: { node, clock }, written_at: writtenAt(state), ...expiry }
}

/** Stamps count 2048 a millisecond. */
function writtenAt({ clock }: { readonly clock: number }): string {
  return new Date(Math.floor(clock / 2048)).toISOString()
}

function timeOf(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString()
}
