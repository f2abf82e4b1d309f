import { importAll } from './bulk.ts'
import { ChangeSource } from './changes.ts'
import { checkOptions, checkValue } from './checks.ts'
import {
  type CountOptions,
  countFound,
  type Explanation,
  explainFound,
  type Fields,
  type FindOptions,
  type FindPageOptions,
  type FoundPage,
  findPage,
  iterateFound,
  openFound,
} from './find.ts'
import { jsonOf } from './json.ts'
import {
  iterateLines,
  iterateMembers,
  iteratePages,
  type ListSource,
  linesType,
  openLines,
  readPage,
} from './lists.ts'
import { query, textOf } from './names.ts'
import * as rules from './option-rules.ts'
import type { DropOptions, ListOptions, PageOptions, PagesOptions, SchemaCheckOptions } from './options.ts'
import type { Call, CallOptions } from './request.ts'
import type { BrokenMember, JsonSchema, SchemaCheck } from './settings-types.ts'
import type { ImportItem, ImportSummary, Include, Listed, Page } from './types.ts'
import { type Bytes, bytesOf, checkedText, jsonType } from './values.ts'

/** The calls of a collection that are about many members: lists, exports, imports, drops. `Collection` extends it. */
export abstract class MemberLists<T> extends ChangeSource<T> {
  readonly #list: ListSource<T>
  readonly #collection: string

  constructor(list: ListSource<T>, collection: string) {
    super({ transport: list.transport, collection, parse: list.parse })
    this.#list = list
    this.#collection = collection
  }

  /**
   * Yields the selected members and fetches pages as the iteration proceeds. Concurrent changes may or may not be seen.
   */
  list<I extends Include = 'all'>(options: ListOptions<I> = {}): AsyncGenerator<Listed<T, I>, void, void> {
    checkOptions<ListOptions>(options, rules.listRules)
    return iterateMembers(this.#list, options)
  }

  /** Does what `list` does, a page at a time: with a `delimiter`, a page has `prefixes` beside its members. */
  pages<I extends Include = 'all'>(
    options: PagesOptions<I> = {},
  ): AsyncGenerator<Page<Listed<T, I>>, void, void> {
    checkOptions<PagesOptions>(options, rules.pagesRules)
    return iteratePages(this.#list, options)
  }

  /**
   * Returns one page of at most 10,000 members, and 100 if `limit` is not given. It may be short while there are more.
   */
  async page<I extends Include = 'all'>(options: PageOptions<I> = {}): Promise<Page<Listed<T, I>>> {
    checkOptions<PageOptions>(options, rules.pageRules)
    return readPage(this.#list, options)
  }

  /** Does what `list` does, in one streamed response: quicker, but it fails when the connection does. */
  export<I extends Include = 'all'>(options: ListOptions<I> = {}): AsyncGenerator<Listed<T, I>, void, void> {
    checkOptions<ListOptions>(options, rules.listRules)
    return iterateLines(this.#list, options)
  }

  /**
   * Returns the members as one stream of NDJSON: each line is a Listed as the server wrote it, with the stored text of
   * its value. With a `delimiter`, lines with a `prefix` are between them.
   */
  async lines(options: PagesOptions = {}): Promise<AsyncIterable<Uint8Array>> {
    checkOptions<PagesOptions>(options, rules.pagesRules)
    return openLines(this.#list, options)
  }

  /**
   * Stores many members. Good ones are stored even if others are bad; the summary names the bad ones by their number.
   */
  async import(
    items: Iterable<ImportItem<T>> | AsyncIterable<ImportItem<T>>,
    options?: CallOptions,
  ): Promise<ImportSummary> {
    checkOptions(options, rules.callRules)
    return importAll(items, (lines) => this.importLines(lines, options))
  }

  /** Stores NDJSON lines, as `lines` returns them, in one request. It is idempotent. */
  async importLines(lines: Bytes | string, options?: CallOptions): Promise<ImportSummary> {
    checkOptions(options, rules.callRules)
    const call: Call = {
      method: 'POST',
      path: this.#list.path,
      headers: { 'content-type': linesType },
      body: bytesOf(lines, 'the lines') ?? checkedText(lines, 'the lines'),
      retry: 'idempotent',
      options,
    }
    return this.#list.transport.send(call, this.#list.transport.json<ImportSummary>)
  }

  /**
   * Deletes the selected members, each on its own, or all of them if there is no selector, and resolves with how many
   * there were. A selector that is undefined or empty is refused.
   */
  async drop(options: DropOptions = {}): Promise<number> {
    checkOptions(options, rules.dropRules)
    const { prefix, filter, match, from, to, where } = options
    const path = this.#list.path + query({ prefix, filter, match, from, to, where: textOf(where) })
    const call: Call = { method: 'DELETE', path, retry: 'if-unsent', options }
    const { deleted } = await this.#list.transport.send(call, this.#list.transport.json<{ deleted: number }>)
    return deleted
  }

  /**
   * Yields the members that are found by what is in their values, and fetches pages as the iteration proceeds. Without an order
   * they come in that which costs least. Concurrent changes may or may not be seen.
   */
  find<I extends Include = 'all'>(
    options: FindOptions<I> & { readonly fields: Fields },
  ): AsyncGenerator<Listed<Partial<T>, I>, void, void>
  find<I extends Include = 'all'>(options?: FindOptions<I>): AsyncGenerator<Listed<T, I>, void, void>
  find<I extends Include = 'all'>(options: FindOptions<I> = {}): AsyncGenerator<Listed<T, I>, void, void> {
    checkOptions<FindOptions>(options, rules.findRules)
    return iterateFound(this.#list, this.#collection, options)
  }

  /** Returns one page of what `find` yields: at most 10,000 members, and 100 if `limit` is not given. */
  async findPage<I extends Include = 'all'>(
    options: FindPageOptions<I> & { readonly fields: Fields },
  ): Promise<FoundPage<Listed<Partial<T>, I>>>
  async findPage<I extends Include = 'all'>(options?: FindPageOptions<I>): Promise<FoundPage<Listed<T, I>>>
  async findPage<I extends Include = 'all'>(
    options: FindPageOptions<I> = {},
  ): Promise<FoundPage<Listed<T, I>>> {
    checkOptions<FindPageOptions>(options, rules.findPageRules)
    return findPage(this.#list, this.#collection, options)
  }

  /** Does what `find` does, in one streamed response of NDJSON: each line is a Listed as the server wrote it. */
  async findLines(options: FindOptions = {}): Promise<AsyncIterable<Uint8Array>> {
    checkOptions(options, rules.findRules)
    return openFound(this.#list, this.#collection, options)
  }

  /** Returns how many members are selected. More than 100,000 that no index counts take several requests. */
  async count(options: CountOptions = {}): Promise<number> {
    checkOptions(options, rules.countRules)
    return countFound(this.#list, this.#collection, options)
  }

  /** Returns how the first page of a search is found: by which index, and how many members are read for it. */
  async explain(options: FindOptions = {}): Promise<Explanation> {
    checkOptions(options, rules.findRules)
    return explainFound(this.#list, this.#collection, options)
  }

  /**
   * Yields the members that break a schema, before it is set, or with null the one that is set. Needs `admin` and `read`. Checks
   * a part at a time, as the iteration proceeds.
   */
  brokenMembers(schema: JsonSchema | null, options?: CallOptions): AsyncGenerator<BrokenMember, void, void> {
    checkOptions(options, rules.callRules)
    checkValue('the schema', schema, rules.schemaOrNull)
    return this.#broken(schema, options)
  }

  async *#broken(
    schema: JsonSchema | null,
    options: CallOptions | undefined,
  ): AsyncGenerator<BrokenMember, void, void> {
    let cursor: string | null | undefined
    while (cursor !== null) {
      const part: SchemaCheck = await this.checkSchema(schema, { ...options, cursor })
      yield* part.broken
      cursor = part.next
    }
  }

  /** Checks a part of the members against a schema, or with null against the one that is set. */
  async checkSchema(schema: JsonSchema | null, options: SchemaCheckOptions = {}): Promise<SchemaCheck> {
    checkOptions(options, rules.schemaCheckRules)
    checkValue('the schema', schema, rules.schemaOrNull)
    const { limit, cursor } = options
    const call: Call = {
      method: 'POST',
      path: `/v1/_collections/${encodeURIComponent(this.#collection)}/_check`,
      headers: { 'content-type': jsonType },
      body: jsonOf({ schema, limit, cursor }, 'the schema'),
      retry: 'idempotent',
      options,
    }
    return this.#list.transport.send(call, this.#list.transport.json<SchemaCheck>)
  }
}
