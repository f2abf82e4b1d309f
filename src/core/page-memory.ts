/** The memory budget of one reader for pages with large values. */
export interface PageMemory {
  /**
   * Waits until there is memory for `maxPageBytes` of values. Called before values of more than `smallPageBytes` are
   * read. Rejects when the client has disconnected.
   */
  reserve(): Promise<void> | undefined
}

/** The budget of readers that hold at most one page at a time. */
export const unlimitedMemory: PageMemory = { reserve: () => undefined }
