import { conformance } from '../src/engines/conformance.ts'
import { openMemory } from '../src/engines/memory/engine.ts'
import { lateEngine } from './support/late-engine.ts'

/** The engine that tests of the core and of the edges run on, so that no caller relies on results that come at once. */
conformance(
  'an engine whose results come late',
  async ({ onCommit }) => lateEngine(openMemory({ onCommit })),
  {
    commitSpans: 'store',
    isDurable: false,
  },
)
