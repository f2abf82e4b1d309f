/** A busy machine may take long; a test is ended after a minute. */
export const patienceMs = 50_000

export async function until(isSo: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (const giveUpAtMs = Date.now() + patienceMs; !(await isSo()); await Bun.sleep(2)) {
    if (Date.now() > giveUpAtMs) throw new Error(`waited in vain until ${what}`)
  }
}

/**
 * Repeats expectations until they hold, and fails as they did last: for what somebody else does in its own time, such as a
 * page that saves.
 */
export async function eventually(check: () => unknown): Promise<void> {
  for (const giveUpAtMs = Date.now() + patienceMs; ; await Bun.sleep(20)) {
    try {
      await check()
      return
    } catch (error) {
      if (Date.now() > giveUpAtMs) throw error
    }
  }
}
