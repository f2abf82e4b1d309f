/**
 * Work of one tick of the event loop, done for all connections together, so that the processor does one kind of work at a
 * time: input is processed when the event loop has read all sockets, then the work that it led to is done, such as reads
 * that are cheaper together, and then the output of all is flushed. Output that is made later, such as responses to writes that went to disk together, is flushed
 * when all of it has been made.
 */
export interface TickScheduler {
  scheduleInput(reader: InputProcessor): void
  /** Runs work when all input of the tick was processed; what comes up outside of a tick is run soon. */
  scheduleWork(work: () => void): void
  scheduleFlush(output: Flushable): void
}

interface InputProcessor {
  process(): void
}

interface Flushable {
  flush(): void
}

/** So many outputs are flushed without waiting for more: clients can work on some while others are made. */
const flushBatch = 16

export function startTicks(onError: (error: unknown) => void): TickScheduler {
  let readers: InputProcessor[] = []
  let works: (() => void)[] = []
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
    forAll(ready, process)
    finishTick()
  }

  /** Work may lead to more: a response lets the next request be processed. */
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
