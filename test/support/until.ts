/** A busy machine may take long; a test is ended after a minute. */
const patienceMs = 50_000

export async function until(isSo: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (const giveUpAtMs = Date.now() + patienceMs; !(await isSo()); await Bun.sleep(2)) {
    if (Date.now() > giveUpAtMs) throw new Error(`waited in vain until ${what}`)
  }
}
