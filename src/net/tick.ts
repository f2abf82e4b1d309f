/**
 * Batches the work of one tick of the event loop for all connections, in three stages: input is processed after the
 * event loop has read all sockets; then scheduled work runs, such as reads that are cheaper together; then all output
 * is flushed. Output produced outside of these stages, such as responses to writes of one commit, is flushed together
 * in a microtask.
 */
export interface TickScheduler {
  scheduleInput(reader: InputProcessor): void
  /** Runs work after all input of the tick is processed; outside of a tick it runs in a microtask. */
  scheduleWork(work: () => void): void
  scheduleFlush(output: Flushable): void
}

interface InputProcessor {
  process(): void
}

interface Flushable {
  flush(): void
}

/**
 * The number of outputs after which they are flushed without waiting for more, so that clients can process some while
 * others are produced.
 */
const flushBatch = 16

export function startTicks(onError: (error: unknown) => void): TickScheduler {
  let readers: InputProcessor[] = []
  let works: (() => void)[] = []
  let outputs: Flushable[] = []
  let isProcessing = false

  /** Runs `work` for each item; an error of one does not stop the others. */
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
    forAll(ready, process)
    finishTick()
  }

  /** Work can schedule more work: a response lets the next request be processed. */
  function finishTick(): void {
    isProcessing = true
    while (works.length > 0) {
      const ready = works
      works = []
      forAll(ready, run)
    }
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
    scheduleWork(work) {
      if (works.push(work) === 1 && !isProcessing) queueMicrotask(finishTick)
    },
    scheduleFlush(output) {
      const count = outputs.push(output)
      if (count === flushBatch) flushAll()
      else if (count === 1 && !isProcessing) queueMicrotask(flushAll)
    },
  }
}

function run(work: () => void): void {
  work()
}

function process(reader: InputProcessor): void {
  reader.process()
}

function flush(output: Flushable): void {
  output.flush()
}
