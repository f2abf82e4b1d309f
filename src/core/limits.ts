/** Every limit that a client can meet, in one place; the unit is in the name. docs/limits.md lists them. */

export const maxKeyBytes = 512
export const maxCollectionBytes = 128
export const maxValueBytes = 16 * 1024 * 1024
export const maxContentTypeBytes = 256

/** The head of a request: its first line and its headers. */
export const maxHeadBytes = 16 * 1024
/** Path and query of a request, as they are sent. */
export const maxTargetBytes = 8 * 1024

/** The size of a chunk of a body with its extensions, and each line of a trailer, with its line end. */
export const maxChunkLineBytes = 4 * 1024
/** All lines of a trailer with the empty one that ends it. */
export const maxTrailerBytes = 4 * 1024

/** What a request that is read whole may carry: a batch. A value has its own limit. */
export const maxBatchBytes = 32 * 1024 * 1024
export const maxBatchOperations = 10_000

export const maxIdempotencyKeyBytes = 255
/** For how long a request that is sent again under the same key has the response that it had. */
export const idempotencyMs = 24 * 60 * 60 * 1000

/** Members that one `_read` may ask for, and what their values may come to together. */
export const maxReadMembers = 10_000
export const maxReadBytes = 64 * 1024 * 1024

/**
 * How deep a merge patch may be nested, and what a JSON patch tests: each level is a call, and looks through the text
 * below it again.
 */
export const maxPatchDepth = 100
export const maxPatchOperations = 10_000
/** Text that one patch may look through and write, at every level again: sixteen times the largest value. */
export const maxPatchWorkChars = 256 * 1024 * 1024

/** One line of an NDJSON import: a value of the largest size in base64, with its key. */
export const maxLineBytes = Math.ceil((maxValueBytes * 4) / 3) + 16 * 1024
/** An import names this many bad lines; what is over is only counted. */
export const maxNamedFailures = 1000

export const defaultPageMembers = 100
/** Collections on a page of `GET /v1`, unless its `limit` says otherwise. */
export const defaultPageCollections = 1000
export const maxPageMembers = 10_000
/** The values of a page come to at most this much, so that 10,000 values of 16 MiB cannot fill the memory; any one fits. */
export const maxPageBytes = 16 * 1024 * 1024
/** A page whose values come to no more than this is read without waiting for memory; parts of streams are such pages. */
export const smallPageBytes = 256 * 1024
/** A filtered page examines at most this many members before it returns what it found and a cursor. */
export const maxExaminedMembers = 100_000
export const maxPatternBytes = 512

/** How long a client may wait for a member to change (`wait`). */
export const maxWaitMs = 5 * 60 * 1000

/** The latest moment an expiry can name: the end of the year 9999, the last that RFC 3339 can write. */
export const maxTimeMs = 253_402_300_799_999

/** Collections that can have settings; all of them are kept in memory, for every write asks. */
export const maxSettings = 10_000
/** Processes that a collection's members go through. */
export const maxProcesses = 16
/** How long a process of the operator's own may take over one member. */
export const maxProcessMs = 5000

/**
 * Memory that requests together may use for what is large, more than 64 KiB: a request that would pass it waits its turn.
 * Values on their way to clients; pages of lists and of the feed; bodies on their way to the store.
 */
export const maxSendingBytes = 48 * 1024 * 1024
export const maxPagesBytes = 48 * 1024 * 1024
export const maxReceivingBytes = 64 * 1024 * 1024
/** What needs no share of that. */
export const smallBytes = 64 * 1024

/**
 * What the connections of memcached clients hold together: unfinished commands, values on their way to disk, responses
 * not sent yet. Above it, values of more than 64 KiB are refused.
 */
export const maxMemcachedHeldBytes = 256 * 1024 * 1024

/** How far the clock of another node may be ahead of this one's. */
export const maxClockAheadMs = 60_000
