import { maxCollectionBytes, maxKeyBytes } from '../../core/limits.ts'
import type { Schema } from '../operation.ts'

/** Common parts of the schemas of `/v1`. */

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
  description: 'When the member expires; null for never',
}

export const revision: Schema = {
  type: 'integer',
  minimum: 1,
  description: 'Grows with every change in the store; an ETag has it in quotes',
}

export const expiryFields = {
  expire_in: {
    type: ['string', 'number'],
    description: 'Time to live: seconds, a duration, or `never`',
    examples: ['15m'],
  },
  expire_at: {
    type: ['string', 'number', 'null'],
    description: 'When it expires; null for never. Not together with `expire_in`',
    examples: ['2030-01-31T12:00:00Z'],
  },
  expires_at: {
    type: ['string', 'number', 'null'],
    description: 'The same as `expire_at`, as lists show it',
  },
}

/** The value in one of three fields, and its content type. */
export const contentFields = {
  value: anyJson,
  value_text: { type: 'string', description: 'Text, instead of `value`' },
  value_base64: { type: 'string', contentEncoding: 'base64', description: 'Bytes, instead of `value`' },
  content_type: {
    type: 'string',
    description: 'Default: `application/json`, or of `value_text` plain text in UTF-8',
  },
  flags: {
    type: 'integer',
    minimum: 0,
    maximum: 4_294_967_295,
    default: 0,
    description: 'The number that memcached clients store beside a value',
  },
}

export const ofMember = { collection: collectionName, key }

/** The value of a member in lists and the feed. */
export const shownValue = {
  value: anyJson,
  value_text: {
    type: 'string',
    description: 'The value of a member with a text type such as `text/plain`, instead of `value`',
  },
  value_base64: {
    type: 'string',
    contentEncoding: 'base64',
    description: 'The value of a member with other bytes that are not JSON, instead of `value`',
  },
}
