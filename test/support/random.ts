/** Numbers that a seed decides, so that a failing run can be done again. */
export interface Random {
  /** An integer from 0 up to, and without, `below`. */
  int(below: number): number
  /** True once in so many times. */
  oneIn(times: number): boolean
  pick<T>(from: readonly T[]): T
}

/** Mulberry32: small, quick, and good enough to choose with. */
export function random(seed: number): Random {
  let state = seed >>> 0
  function next(): number {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  const int = (below: number) => Math.floor(next() * below)
  return {
    int,
    oneIn: (times) => int(times) === 0,
    pick(from) {
      const found = from[int(from.length)]
      if (found === undefined) throw new Error('nothing to pick from')
      return found
    },
  }
}

/** The seed of this run: that of KVIST_SEED, or a new one; printed either way. */
export function seedOfRun(): number {
  const given = process.env.KVIST_SEED
  const seed = given === undefined ? crypto.getRandomValues(new Uint32Array(1))[0]! : Number(given)
  console.log(`KVIST_SEED=${seed}`)
  return seed
}
