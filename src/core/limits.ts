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

/** Body of a request that is read whole, such as a batch. A value has its own limit. */
export const maxBatchBytes = 32 * 1024 * 1024
export const maxBatchOperations = 10_000

export const maxIdempotencyKeyBytes = 255
/** How long a request repeated with the same key gets the first response again. */
export const idempotencyMs = 24 * 60 * 60 * 1000

/** Members that one `_read` may name, and the bytes of their values together. */
export const maxReadMembers = 10_000
export const maxReadBytes = 64 * 1024 * 1024

/**
 * Nesting of a merge patch, and of a value that a JSON patch tests: each level is a recursive call that scans the text
 * below it again.
 */
export const maxPatchDepth = 100
export const maxPatchOperations = 10_000
/** Characters that one patch may scan and write, counted again at every level: sixteen times the largest value. */
export const maxPatchWorkChars = 256 * 1024 * 1024

/** One line of an NDJSON import: a value of the largest size in base64, with its key. */
export const maxLineBytes = Math.ceil((maxValueBytes * 4) / 3) + 16 * 1024
/** Bad lines that the response to an import names; further ones are only counted. */
export const maxNamedFailures = 1000

export const defaultPageMembers = 100
/** Collections on a page of `GET /v1`, unless its `limit` says otherwise. */
export const defaultPageCollections = 1000
export const maxPageMembers = 10_000
/** Bytes of the values of a page, so that 10,000 values of 16 MiB cannot fill the memory. Any single value fits. */
export const maxPageBytes = 16 * 1024 * 1024
/**
 * A page whose values have at most this many bytes is read without reserving memory; parts of streams are such pages.
 */
export const smallPageBytes = 256 * 1024
/** A filtered page examines at most this many members before it returns what it found and a cursor. */
export const maxExaminedMembers = 100_000
export const maxPatternBytes = 512
/** A query as a body: its filter has a limit of its own (jsonpath/limits.ts). */
export const maxQueryBytes = 512 * 1024
/** Memory for the order of members that no index orders, about. */
export const maxSortedBytes = 32 * 1024 * 1024
/** Members that are counted by an index, which names those that may match. */
export const maxCountedMembers = 1_000_000

/** How long a client may wait for a member to change (`wait`). */
export const maxWaitMs = 5 * 60 * 1000

/** The latest expiry: the end of the year 9999, the last that RFC 3339 can express. */
export const maxTimeMs = 253_402_300_799_999

/** Collections that can have settings. All settings are kept in memory, because every write needs them. */
export const maxSettings = 10_000
/** Maximum number of tokens, and of grants of one. */
export const maxTokens = 10_000
export const maxGrants = 64
export const maxTokenNameBytes = 128
/** The subject of a client certificate. */
export const maxSubjectBytes = 1024
/** Maximum number of tickets that are not used yet, and how long one is valid. */
export const maxTickets = 10_000
/** Of one token: it must not use up those of all others. */
export const maxTicketsOfOne = 2500
export const ticketMs = 60_000
/** Indexes of one collection, and the fields that one orders by. */
export const maxIndexes = 16
export const maxIndexFields = 4
export const maxIndexNameBytes = 64
/** The largest quotas that a collection can be given; that of a value is `maxValueBytes`. */
export const maxQuotaMembers = 1e12
export const maxQuotaBytes = 2 ** 49
/** Processes that one collection can have. */
export const maxProcesses = 16
/** Time that a process of the operator may take for one member. */
export const maxProcessMs = 5000

/**
 * Memory that all requests together may use for items of more than 64 KiB; a request that would exceed it waits. The
 * three budgets are for values being sent to clients, for pages of lists and of the feed, and for bodies being
 * received.
 */
export const maxSendingBytes = 48 * 1024 * 1024
export const maxPagesBytes = 48 * 1024 * 1024
export const maxReceivingBytes = 64 * 1024 * 1024
/** Items up to this size need no share of those budgets. */
export const smallBytes = 64 * 1024

/**
 * Memory of all memcached connections together: unfinished commands, values being written to disk, unsent responses.
 * Above it, values of more than 64 KiB are refused.
 */
export const maxMemcachedHeldBytes = 256 * 1024 * 1024

/** Requests at once on a connection of HTTP/2. */
export const maxHttp2Streams = 100

/** Unfinished TLS handshakes of one port; at the limit the oldest is closed for a new one. */
export const maxHandshakes = 1024
export const handshakeTimeoutSeconds = 10

/** How far the clock of another node may be ahead of this node's clock. */
export const maxClockAheadMs = 60_000

/** Members that one question of a lookup names. */
export const maxLookupMembers = 1000
/** Lookups that wait for other nodes at once; further ones are refused. */
export const maxLookups = 1000

/**
 * Addresses and tokens whose rate of requests is known at a time, and addresses whose wrong tokens are counted; see
 * `RateBuckets` for what happens beyond. Each takes some 200 bytes.
 */
export const maxRatedAddresses = 32_768
export const maxRatedTokens = 32_768
/** Wrong tokens of one address that are answered as such in a minute; further ones are `rate_limited`. */
export const maxWrongTokensPerMinute = 20

/** Refused requests of one address that have a line each in the audit log; further ones are counted in one line. */
export const maxRefusedLinesPerMinute = 1000

/** Lines of the audit log that wait to be written while its disk is slow or full; further ones are counted and lost. */
export const maxAuditBytes = 8 * 1024 * 1024

/** Conflicts between nodes that a store lists, and the bytes of their records; further ones are counted. */
export const maxConflicts = 10_000
export const maxConflictBytes = 64 * 1024 * 1024
/** The record of a lost version has its value if that has at most this many bytes. */
export const maxConflictValueBytes = 16 * 1024

/** Members whose states one request of a comparison may name, and versions on a page of it. */
export const maxComparedMembers = 1000
/** Ends of ranges that one request for digests may name, and members that it may want in a range. */
export const maxDigestedRanges = 256
/** Members in a range; one that has more has no digest. */
export const maxDigestedRange = 16_384
/** Members that are examined for one request for digests, about: some 100 ms of work. */
export const maxDigestWork = 65_536

/** Records of other servers that the minstore dialect keeps for `cache=1`, and how long it serves one. */
export const maxCachedRecordBytes = 16 * 1024 * 1024
export const cachedRecordMs = 60_000

/** Nodes whose changes are passed on because they ask for it. */
export const maxBridgedNodes = 10_000
/** Nodes of which a node remembers how much it has seen of their writes. */
export const maxKnownNodes = 200

/** Reads of the archive that wait while one is done; further ones are `busy`. */
export const maxArchiveReads = 100
/** Versions of a member on a page, unless the client says otherwise, and at most. */
export const defaultPageVersions = 100
export const maxPageVersions = 1000

/** The text of the JSON Schema of a collection, and how deep its schemas may be nested. */
export const maxSchemaBytes = 64 * 1024
export const maxSchemaDepth = 64
/** Ways in which a value breaks a schema that an error names. */
export const maxViolations = 20
/**
 * Steps that the check of a value may take, at least and for each character of the value: calls of subschemas and passes of
 * loops. One takes some 20 ns.
 */
export const smallestSchemaSteps = 1_000_000
export const schemaStepsPerChar = 8
/** Steps of the check that finds all violations; of a value that takes more, only the first is named. */
export const maxViolationSteps = 20_000
/** Texts longer than this have no format. */
export const maxFormattedChars = 4096
/** Memory, about, of all compiled schemas. */
export const maxCompiledSchemaBytes = 64 * 1024 * 1024
/** Members, and bytes of their values, that one request checks against a schema. */
export const maxCheckedMembers = 50_000
export const maxCheckedBytes = 64 * 1024 * 1024
/** Members that break a schema which a response names, unless the client says otherwise, and at most. */
export const defaultNamedMembers = 100
export const maxNamedMembers = 1000
