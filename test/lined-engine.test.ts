import type { Engine } from '../src/core/engine.ts'
import { conformance } from '../src/engines/conformance.ts'
import { type LinedEngine, linedEngine } from './support/lined-engine.ts'

/** What the suite says of engines with several lines, before there is one that is a product. */
for (const [spans, lines] of [
  ['collection', 8],
  ['line', 16],
] as const) {
  const engines = new WeakMap<Engine, LinedEngine>()
  conformance(
    `an engine of ${lines} lines, a commit spanning a ${spans},`,
    async ({ onCommit, onSetback }) => {
      const engine = linedEngine({ lines, spans, onCommit, onSetback })
      engines.set(engine, engine)
      return engine
    },
    { commitSpans: spans, isDurable: false, lose: (engine) => engines.get(engine)!.lose(1) },
  )
}
