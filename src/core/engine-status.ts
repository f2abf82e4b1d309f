/** What an engine says of itself to operators: where the store is, and how well. */
export interface EngineStatus {
  readonly engine: 'sqlite' | 'memory' | 'redis'
  /** The servers that have the members, and the parts of the store on them; empty for an engine within this process. */
  readonly primaries: readonly PrimaryStatus[]
  readonly lines: readonly LineStatus[]
}

export interface PrimaryStatus {
  /** As `host:port`. */
  readonly address: string
  /** Null where it cannot be reached, as are the numbers. */
  readonly version: string | null
  readonly slots: number
  readonly memoryBytes: number | null
  /** Null for no limit. */
  readonly maxMemoryBytes: number | null
  readonly replicas: readonly ReplicaStatus[]
}

export interface ReplicaStatus {
  readonly address: string
  /** Bytes of the primary's writes that it has not acknowledged; null where it is not connected. */
  readonly lagBytes: number | null
}

export interface LineStatus {
  readonly line: number
  /** The address of its primary; null where there is none. */
  readonly primary: string | null
  /** Null where the line cannot be reached, as are the other numbers. */
  readonly revision: number | null
  /** The revision up to which this server has reported changes. */
  readonly reported: number
  readonly members: number | null
  readonly tombstones: number | null
  readonly memoryBytes: number | null
  /** How often another server has taken over, at which acknowledged writes can have been lost. */
  readonly gaps: number | null
}
