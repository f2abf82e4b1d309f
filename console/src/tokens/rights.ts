import type { Capability, Grant, Identity } from 'kvist-client'
import { shownName } from '../ui/shown-name.ts'

/** What grants mean, in plain sentences. */

type Granted = Pick<Identity, 'grants'>

/** Whether all of the store is granted, as `/metrics`, nodes and tokens need it. The server decides by the same rule. */
export function mayEverywhere(identity: Granted | null, capability: Capability): boolean {
  return (identity?.grants ?? []).some(
    ({ collections, key_prefix: prefix = '', can }) =>
      can.includes(capability) && prefix === '' && /^\*+$/.test(collections),
  )
}

/** A grant as it is being typed: anything may be missing. */
export interface GrantDraft {
  readonly collections: string
  readonly keyPrefix: string
  readonly can: readonly Capability[]
}

export function draftOf({ collections, key_prefix: keyPrefix = '', can }: Grant): GrantDraft {
  return { collections, keyPrefix, can }
}

/** "read and write members of users whose keys begin with t1/", one sentence for each grant. */
export function sentenceOf({ collections, keyPrefix, can }: GrantDraft): string {
  const members = can.filter((one) => one === 'read' || one === 'write')
  const of = `${membersOf(collections)}${keyPrefix === '' ? '' : ` whose keys begin with ${shownName(keyPrefix)}`}`
  const parts = [
    ...(members.length === 0 ? [] : [`${members.join(' and ')} ${of}`]),
    ...(can.includes('admin') ? [adminOf(collections, keyPrefix)] : []),
    ...(can.includes('replicate') ? [`exchange changes of ${of} as another server does`] : []),
  ]
  return upper(parts.join('; '))
}

function membersOf(collections: string): string {
  if (/^\*+$/.test(collections)) return 'members of all collections'
  return isPattern(collections)
    ? `members of collections named like ${shownName(collections)}`
    : `members of ${shownName(collections)}`
}

function adminOf(collections: string, keyPrefix: string): string {
  if (keyPrefix !== '')
    return `drop all members of ${nameOf(collections)} whose keys begin with ${shownName(keyPrefix)} at once`
  return `change the settings of ${nameOf(collections)}, and drop ${isPattern(collections) ? 'them' : 'it'}`
}

function nameOf(collections: string): string {
  if (/^\*+$/.test(collections)) return 'all collections'
  return isPattern(collections) ? `collections named like ${shownName(collections)}` : shownName(collections)
}

function isPattern(collections: string): boolean {
  return /[*?]/.test(collections)
}

function upper(text: string): string {
  return text === '' ? '' : `${text[0]!.toUpperCase()}${text.slice(1)}`
}

/** What follows from grants together, beyond members: what the token may see and do of the server, and what to beware of. */
export function consequencesOf(grants: readonly GrantDraft[]): readonly string[] {
  const identity = {
    grants: grants.map(({ collections, keyPrefix, can }) => ({ collections, key_prefix: keyPrefix, can })),
  }
  const reads = grants.some(({ can }) => can.includes('read'))
  const writes = grants.some(({ can }) => can.includes('write'))
  return [
    ...(mayEverywhere(identity, 'admin')
      ? ['Create and revoke tokens, also one that may do everything: as much as the root token']
      : []),
    ...(mayEverywhere(identity, 'read') ? ['See the numbers of the server and its nodes'] : []),
    ...(writes && !reads ? ['It may not read back what it writes'] : []),
  ]
}
