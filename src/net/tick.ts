/**
 * Work of one tick of the event loop, done for all connections together, so that the processor does one kind of work at a
 * time: input is processed when the event loop has read all sockets, first to prefetch what it will need, and then the
 * output of all is flushed. Output that is made later, such as responses to writes that went to disk together, is flushed
 * when all of it has been made.
 */
export interface TickScheduler {
  scheduleInput(reader: InputProcessor): void
  scheduleFlush(output: Flushable): void
}

interface InputProcessor {
  /** Called before any `process` when several are due: what they will read can be looked up together. */
  prefetch(): void
  process(): void
}

interface Flushable {
  flush(): void
}

/** So many outputs are flushed without waiting for more: clients can work on some while others are made. */
const flushBatch = 16

export function startTicks(onError: (error: unknown) => void): TickScheduler {
  let readers: InputProcessor[] = []
  let outputs: Flushable[] = []
  let isProcessing = false

  /** An error of one must not keep the others from their work. */
  function forAll<Of>(all: readonly Of[], work: (one: Of) => void): void {
    for (const one of all) {
      try {
        work(one)
      } catch (error) {
        onError(error)
      }
    }
  }

  function processAll(): void {
    const ready = readers
    readers = []
    isProcessing = true
    if (ready.length > 1) forAll(ready, prefetch)
    forAll(ready, process)
    isProcessing = false
    flushAll()
  }

  function flushAll(): void {
    const ready = outputs
    outputs = []
    forAll(ready, flush)
  }

  return {
    scheduleInput(reader) {
      if (readers.push(reader) === 1) setImmediate(processAll)
    },
    scheduleFlush(output) {
      const count = outputs.push(output)
      if (count === flushBatch) flushAll()
      else if (count === 1 && !isProcessing) queueMicrotask(flushAll)
    },
  }
}

function prefetch(reader: InputProcessor): void {
  reader.prefetch()
}

function process(reader: InputProcessor): void {
  reader.process()
}

function flush(output: Flushable): void {
  output.flush()
}
