import { type Collection, KvistPreconditionError, type Settings } from '../../sdk/client.ts'

/** Each failed try means that somebody else's change was stored. */
const maxTries = 100

/**
 * Changes settings of a collection and leaves the others as they are. Settings are replaced as a whole, so they are read
 * again when they were changed meanwhile: `change` may be called more than once. With null from it nothing is stored.
 */
export async function changeSettings(
  collection: Collection<unknown>,
  change: (settings: Settings) => Partial<Settings> | null,
): Promise<void> {
  for (let tries = 1; ; tries++) {
    const settings = await collection.settings()
    const changed = change(settings)
    if (changed === null) return
    try {
      await collection.setSettings({ ...settings, ...changed }, { ifRevision: settings.revision })
      return
    } catch (error) {
      if (!(error instanceof KvistPreconditionError) || tries === maxTries) throw error
    }
  }
}
