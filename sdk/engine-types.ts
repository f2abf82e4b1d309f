/** Where the store is; `primaries` and `lines` are empty unless it is in Redis. */
export interface EngineStatus {
  readonly engine: 'sqlite' | 'memory' | 'redis'
  readonly primaries: readonly EnginePrimary[]
  readonly lines: readonly EngineLine[]
}

/** A server of Redis; what is null could not be asked. */
export interface EnginePrimary {
  readonly address: string
  readonly version: string | null
  readonly slots: number
  readonly memory_bytes: number | null
  /** Null for no limit. */
  readonly max_memory_bytes: number | null
  readonly replicas: readonly EngineReplica[]
}

export interface EngineReplica {
  readonly address: string
  /** Bytes of the primary's writes that it has not acknowledged; null where it is not connected. */
  readonly lag_bytes: number | null
}

/** A part of the store in Redis; what is null could not be read. */
export interface EngineLine {
  readonly line: number
  readonly primary: string | null
  readonly revision: number | null
  /** The revision up to which the kvist server knows all changes. */
  readonly reported: number
  readonly members: number | null
  readonly tombstones: number | null
  readonly memory_bytes: number | null
  /** How often another Redis server has taken over, at which acknowledged writes can have been lost. */
  readonly gaps: number | null
}
