import { statSync } from 'node:fs'
import { readIdentity, type TlsFiles, type TlsIdentity } from './identity.ts'

/** The identity of a server whose files may change while it runs. */
export interface TlsSource {
  /** For the next handshake; connections keep the one that they began with. */
  readonly identity: TlsIdentity
}

export interface ReloadEvents {
  /** The files have changed and are in use. */
  onReload(identity: TlsIdentity): void
  /** The files have changed and cannot be used; the identity before stays. */
  onError(error: unknown): void
}

/** Three calls of stat; a renewed certificate is used within this time. */
const checkMs = 1000

/**
 * Watches the files by their times and sizes, because a renewal often replaces a symbolic link to them, which a watch
 * of the file does not see.
 */
export class ReloadingTls implements TlsSource {
  identity: TlsIdentity
  private readonly files: TlsFiles
  private readonly events: ReloadEvents
  private seen: string
  private readonly timer: NodeJS.Timeout

  /** Reads the files. Throws as `readIdentity` does. */
  constructor(files: TlsFiles, events: ReloadEvents) {
    this.files = files
    this.events = events
    this.seen = stateOf(files)
    this.identity = readIdentity(files)
    this.timer = setInterval(() => this.check(), checkMs)
    this.timer.unref()
  }

  /** Reads the files again if they have changed since the last call. Called by the timer. */
  check(): void {
    const state = stateOf(this.files)
    if (state === this.seen) return
    this.seen = state
    try {
      this.identity = readIdentity(this.files)
    } catch (error) {
      this.events.onError(error)
      return
    }
    this.events.onReload(this.identity)
  }

  stop(): void {
    clearInterval(this.timer)
  }
}

/** Returns a text that differs when one of the files does. */
function stateOf({ certPath, keyPath, clientCaPath }: TlsFiles): string {
  return [certPath, keyPath, clientCaPath]
    .map((path) => {
      const stat = path === null ? undefined : statOf(path)
      return stat === undefined ? '' : `${stat.dev}:${stat.ino}:${stat.size}:${stat.mtimeNs}:${stat.ctimeNs}`
    })
    .join(' ')
}

function statOf(path: string) {
  try {
    return statSync(path, { bigint: true })
  } catch {
    return undefined // reading it says why
  }
}
