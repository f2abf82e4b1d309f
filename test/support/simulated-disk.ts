import { basename } from 'node:path'
import type { LogDisk } from '../../src/engines/sqlite/wal/log-files.ts'
import type { Random } from './random.ts'

/**
 * A disk in memory. Its calls end in an order that chance decides, and sometimes fail. What was written is there at once, and
 * safe when a sync of it has ended; a power cut keeps of the rest any sectors or none, and of the names in the folder those
 * up to some moment since it was synced.
 */
export interface SimulatedDisk extends LogDisk {
  /** Ends one call that is under way, whichever; false where there is none. */
  step(): boolean
  /** Gives a file another name at once. */
  renameNow(from: string, to: string): void
  /** The files as a power cut at this moment leaves them, by name. */
  afterPowerCut(): Map<string, Buffer>
}

interface SimulatedFile {
  live: Buffer
  safe: Buffer
  /** Written since, in order. */
  unsynced: { readonly at: number; readonly bytes: Buffer }[]
}

type Names = Map<string, SimulatedFile>

const sectorBytes = 512
/** One call in so many fails. */
const callsPerFailure = 60

export function simulatedDisk(files: ReadonlyMap<string, Buffer>, random: Random): SimulatedDisk {
  const names: Names = new Map()
  for (const [name, bytes] of files)
    names.set(name, { live: Buffer.from(bytes), safe: Buffer.from(bytes), unsynced: [] })
  const safeNames: Names = new Map(names)
  /** What was done to the names since they were synced, in order. */
  const renames: ((to: Names) => void)[] = []
  const opened = new Map<number, SimulatedFile>()
  const underWay: (() => void)[] = []
  let lastFd = 0

  function changeNames(change: (to: Names) => void): void {
    change(names)
    renames.push(change)
  }

  function later<Result>(work: () => Result): Promise<Result> {
    return new Promise((resolve, reject) => {
      underWay.push(() => {
        try {
          resolve(work())
        } catch (error) {
          reject(error)
        }
      })
    })
  }

  function maybeFail(): void {
    if (random.oneIn(callsPerFailure)) throw Object.assign(new Error('EIO'), { code: 'EIO' })
  }

  function rename(from: string, to: string): void {
    const file = names.get(basename(from))
    if (file === undefined) throw Object.assign(new Error(`ENOENT: ${from}`), { code: 'ENOENT' })
    changeNames((into) => {
      into.delete(basename(from))
      into.set(basename(to), file)
    })
  }

  return {
    makeFile: (path, size) =>
      later(() => {
        maybeFail()
        const file = { live: Buffer.alloc(size), safe: Buffer.alloc(size), unsynced: [] }
        changeNames((into) => into.set(basename(path), file))
      }),
    open: (path) =>
      later(() => {
        maybeFail()
        const file = names.get(basename(path))
        if (file === undefined) throw new Error(`there is no ${path}`)
        opened.set(++lastFd, file)
        return lastFd
      }),
    rename: (from, to) =>
      later(() => {
        maybeFail()
        rename(from, to)
      }),
    write(fd, bytes, at) {
      const file = opened.get(fd)!
      const isFailure = random.oneIn(callsPerFailure)
      // A write that fails may have come as far as some sector.
      const sectors = Math.floor((at + random.int(bytes.length)) / sectorBytes)
      const end = isFailure ? Math.max(0, sectors * sectorBytes - at) : bytes.length
      const written = Buffer.from(bytes.subarray(0, end))
      written.copy(file.live, at)
      file.unsynced.push({ at, bytes: written })
      if (isFailure) throw Object.assign(new Error('EIO'), { code: 'EIO' })
    },
    syncData(fd) {
      const file = opened.get(fd)!
      const asked = new Set(file.unsynced)
      return later(() => {
        const isFailure = random.oneIn(callsPerFailure)
        for (const one of file.unsynced.filter((each) => asked.has(each)))
          writeSectors(file.safe, one, isFailure ? random : null)
        // After a failure the system takes for clean what it could not write.
        file.unsynced = file.unsynced.filter((each) => !asked.has(each))
        if (isFailure) throw Object.assign(new Error('EIO'), { code: 'EIO' })
      })
    },
    syncFolder() {
      const asked = renames.length
      return later(() => {
        maybeFail()
        for (const change of renames.splice(0, Math.min(asked, renames.length))) change(safeNames)
      })
    },
    close: (fd) => opened.delete(fd),
    remove: (path) => changeNames((into) => into.delete(basename(path))),
    step() {
      if (underWay.length === 0) return false
      underWay.splice(random.int(underWay.length), 1)[0]!()
      return true
    },
    renameNow: rename,
    afterPowerCut() {
      for (const change of renames.splice(0, random.int(renames.length + 1))) change(safeNames)
      return new Map(
        Array.from(safeNames, ([name, { safe, unsynced }]) => {
          const bytes = Buffer.from(safe)
          for (const one of unsynced) writeSectors(bytes, one, random)
          return [name, bytes]
        }),
      )
    },
  }
}

/** Writes all sectors, or with `random` any of them. */
function writeSectors(
  into: Buffer,
  { at, bytes }: { readonly at: number; readonly bytes: Buffer },
  random: Random | null,
): void {
  const share = random?.int(4) ?? 3
  for (let from = 0; from < bytes.length; ) {
    const length = Math.min(sectorBytes - ((at + from) % sectorBytes), bytes.length - from)
    if (random === null || random.int(3) < share) bytes.copy(into, at + from, from, from + length)
    from += length
  }
}
