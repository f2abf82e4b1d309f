/**
 * What connections put off, so that the processor does one thing for all of them before it does the next: what came in is
 * looked at when the event loop has read from all sockets, first for what it will need, and then the answers go out. Those
 * that come late, as of writes that went to disk together, go out when all of them are made.
 */
export interface Turn {
  hasInput(reader: Reader): void
  hasOutput(writer: Writer): void
}

interface Reader {
  /** Several are about to look: what this one will need can be made ready with what the others do. */
  foresee(): void
  look(): void
}

interface Writer {
  flush(): void
}

/** More answers than these do not wait for each other: clients shall be at work on some while others are made. */
const writersAtOnce = 16

export function startTurns(onError: (error: unknown) => void): Turn {
  let readers: Reader[] = []
  let writers: Writer[] = []
  let isLooking = false

  /** What is wrong with one must not keep the others from their turn. */
  function forAll<Of>(all: readonly Of[], work: (one: Of) => void): void {
    for (const one of all) {
      try {
        work(one)
      } catch (error) {
        onError(error)
      }
    }
  }

  function lookAtAll(): void {
    const ready = readers
    readers = []
    isLooking = true
    if (ready.length > 1) forAll(ready, foresee)
    forAll(ready, look)
    isLooking = false
    flushAll()
  }

  function flushAll(): void {
    const full = writers
    writers = []
    forAll(full, flush)
  }

  return {
    hasInput(reader) {
      if (readers.push(reader) === 1) setImmediate(lookAtAll)
    },
    hasOutput(writer) {
      const count = writers.push(writer)
      if (count === writersAtOnce) flushAll()
      else if (count === 1 && !isLooking) queueMicrotask(flushAll)
    },
  }
}

function foresee(reader: Reader): void {
  reader.foresee()
}

function look(reader: Reader): void {
  reader.look()
}

function flush(writer: Writer): void {
  writer.flush()
}
