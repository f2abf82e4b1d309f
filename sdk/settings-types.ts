import type { Violation } from './errors.ts'

/** The settings of a collection. */

/** A JSON Schema. */
export type JsonSchema = boolean | { readonly [keyword: string]: unknown }

/** A member that breaks a schema. */
export interface BrokenMember {
  readonly key: string
  /** The first 20. */
  readonly violations: readonly Violation[]
}

/** What became of a check of members against a schema, which is done a part at a time. */
export interface SchemaCheck {
  /** Members that were checked now. */
  readonly checked: number
  readonly broken: readonly BrokenMember[]
  /** Every member has been checked. */
  readonly complete: boolean
  /** The `cursor` of the next part; null after the last one. */
  readonly next: string | null
}

/** The settings of a collection; null, or false, if not set. */
export interface Settings {
  /** The processes that transform members before they are stored, in this order. */
  readonly processes: readonly string[] | null
  /**
   * The time to live of members that are stored without an expiry, in seconds; can also be set as a text with a unit
   * such as `7d`.
   */
  readonly default_ttl: number | string | null
  /** Whether a read renews a member's expiry by the default time; false by default, and needs a `default_ttl`. */
  readonly sliding: boolean
  /** The number of members that the collection may have. */
  readonly max_members: number | null
  /** The bytes of its keys and values together; can also be set as a text with a unit such as `64MiB`. */
  readonly max_bytes: number | string | null
  /** The bytes that each value may have; can also be set as a text with a unit. */
  readonly max_value_bytes: number | string | null
  /** The JSON Schema (2020-12) that values must match when they are written. */
  readonly schema: JsonSchema | null
  /** What orders the members by their values. One that is left out is deleted. */
  readonly indexes: readonly IndexSettings[]
}

/** The settings of a collection as they are stored. */
export interface StoredSettings extends Settings {
  /** What `ifRevision` takes; null if none are stored. It is not sent. */
  readonly revision: number | null
}

/** An index of a collection. */
export interface IndexSettings {
  readonly name: string
  /** One to four fields, the first one first, each a JSONPath query for a single value such as `@.country`. */
  readonly on: readonly string[]
  /** Whether no two members may have the same values in all of the fields; false by default. */
  readonly unique?: boolean
  /** How far the server is with it; not sent. */
  readonly state?: 'building' | 'ready' | 'failed'
  /** Members that the build has examined; not sent. */
  readonly examined?: number
  /** Why it failed: the members with the same values; not sent. */
  readonly failure?: string
}
