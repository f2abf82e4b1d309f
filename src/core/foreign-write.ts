import type { Delete, Put, VersionOrigin } from './engine.ts'
import type { Origin } from './origin.ts'

/** A write that was made on another node. */
export type ForeignWrite = (Put & { readonly origin: VersionOrigin }) | (Delete & { readonly origin: Origin })
