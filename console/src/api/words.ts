import { KvistError, KvistPreconditionError } from 'kvist-client'
import { shownName } from '../ui/shown-name.ts'

/** What an error means to a person: what happened, and what to do next. */
export interface Words {
  readonly title: string
  readonly advice: string
}

type WordsOf = (error: KvistError) => Words

const wordsByCode: Readonly<Record<string, Words | WordsOf>> = {
  unreachable: {
    title: 'The server does not answer',
    advice: 'It may be restarting. The page tries again by itself.',
  },
  timeout: { title: 'The server took too long', advice: 'It may be busy. Try again in a moment.' },
  unauthorized: {
    title: 'This token is not valid',
    advice: 'It may have expired or been revoked. Log in with another one.',
  },
  forbidden: ({ detail }) => ({ title: 'This token may not do that', advice: sentence(detail) }),
  not_found: {
    title: 'It is not there any more',
    advice: 'Somebody may have deleted it, or it has expired.',
  },
  precondition_failed: (error) => ({
    title:
      error instanceof KvistPreconditionError && error.revision !== null
        ? `Someone else saved revision ${error.revision.toLocaleString('en-GB')} meanwhile`
        : 'Someone else changed it meanwhile',
    advice: 'Nothing was saved. Compare the two versions, then save again.',
  }),
  conflict: ({ detail }) => ({ title: 'That cannot be done as things stand', advice: sentence(detail) }),
  quota_exceeded: ({ detail }) => ({ title: 'The collection is full', advice: sentence(detail) }),
  too_large: ({ detail }) => ({ title: 'That is too large', advice: sentence(detail) }),
  key_too_long: ({ detail }) => ({ title: 'The key is too long', advice: sentence(detail) }),
  invalid_schema: ({ detail }) => ({ title: 'This cannot be a schema', advice: sentence(detail) }),
  schema_violation: ({ detail }) => ({
    title: 'The value does not match the schema',
    advice: sentence(detail),
  }),
  invalid_where: ({ problem, detail }) => ({
    title: 'That is not a filter',
    advice: sentence(typeof problem?.reason === 'string' ? problem.reason : detail),
  }),
  invalid_parameter: ({ detail }) => ({
    title: 'The server does not understand that',
    advice: sentence(detail),
  }),
  no_index: ({ detail }) => ({ title: 'That needs an index', advice: sentence(detail) }),
  invalid_json: ({ detail }) => ({ title: 'That is not JSON', advice: sentence(detail) }),
  invalid_cursor: { title: 'The list has changed too much', advice: 'Load it again from the start.' },
  compacted: { title: 'The page was away for too long', advice: 'Load it again to see the present state.' },
  rate_limited: { title: 'Too many requests', advice: 'Wait a moment, then try again.' },
  busy: { title: 'The server is busy', advice: 'Try again in a moment.' },
  closing: { title: 'The server is stopping', advice: 'The page connects again when it is back.' },
  unavailable: { title: 'The server cannot do that now', advice: 'Try again in a moment.' },
  read_only: { title: 'This server only reads', advice: 'It follows another one: make changes there.' },
  not_leader: { title: 'This server follows another one', advice: 'Make changes at its leader.' },
  storage_full: { title: 'The disk is full', advice: 'Nothing was saved. Free some space on the server.' },
  storage_failed: {
    title: 'The disk failed',
    advice: 'Look at the log of the server before you write more.',
  },
  outcome_unknown: { title: 'It may have been saved, or not', advice: 'Load it again to see which.' },
  forbidden_origin: ({ detail }) => ({
    title: 'The server does not serve this page',
    advice: sentence(detail),
  }),
  misdirected: ({ detail }) => ({
    title: 'The server does not know itself by this name',
    advice: sentence(detail),
  }),
}

/** Returns what to tell a person about any error. */
export function wordsOf(error: unknown): Words {
  if (!(error instanceof KvistError))
    return { title: 'Something went wrong in this page', advice: messageOf(error) }
  const words = wordsByCode[error.code]
  if (typeof words === 'function') return words(error)
  return words ?? { title: 'The server refused', advice: sentence(error.detail || error.code) }
}

function messageOf(error: unknown): string {
  return sentence(error instanceof Error ? error.message : String(error))
}

function sentence(text: string): string {
  const trimmed = shownName(text.trim())
  if (trimmed === '') return ''
  return `${trimmed[0]!.toUpperCase()}${trimmed.slice(1)}${/[.!?]$/.test(trimmed) ? '' : '.'}`
}
