import { maxCollectionBytes, maxKeyBytes } from '../../core/limits.ts'
import type { Schema } from '../operation.ts'

/** What the schemas of `/v1` are made of. */

export const time: Schema = { type: 'string', format: 'date-time', examples: ['2030-01-31T12:00:00.000Z'] }

export const collectionName: Schema = {
  type: 'string',
  minLength: 1,
  maxLength: maxCollectionBytes,
  examples: ['books'],
}

export const key: Schema = { type: 'string', minLength: 1, maxLength: maxKeyBytes, examples: ['dune'] }

export const anyJson: Schema = { description: 'Any JSON, byte for byte as it was sent' }

export const expiresAt: Schema = {
  ...time,
  type: ['string', 'null'],
  description: 'When the member will be gone; null for never',
}

export const revision: Schema = {
  type: 'integer',
  minimum: 1,
  description: 'Grows with every change in the store; as an ETag it stands in quotes',
}

export const expiryFields = {
  expire_in: {
    type: ['string', 'number'],
    description: 'How long the member lives: seconds, a duration, or `never`',
    examples: ['15m'],
  },
  expire_at: {
    type: ['string', 'number', 'null'],
    description: 'When it will be gone; null for never. Not together with `expire_in`',
    examples: ['2030-01-31T12:00:00Z'],
  },
  expires_at: {
    type: ['string', 'number', 'null'],
    description: 'The same as `expire_at`, as lists show it',
  },
}

/** One of the three, and the type of what it is. */
export const contentFields = {
  value: anyJson,
  value_text: { type: 'string', description: 'Text, in place of `value`' },
  value_base64: { type: 'string', contentEncoding: 'base64', description: 'Bytes, in place of `value`' },
  content_type: {
    type: 'string',
    description: 'Left out: `application/json`, and of `value_text` plain text in UTF-8',
  },
}

export const ofMember = { collection: collectionName, key }

/** The value of a member as lists and the feed show it. */
export const shownValue = {
  value: anyJson,
  value_text: {
    type: 'string',
    description: 'In place of `value`, of text: a type such as `text/plain`, in UTF-8',
  },
  value_base64: {
    type: 'string',
    contentEncoding: 'base64',
    description: 'In place of `value`, of other bytes that are not JSON',
  },
}
