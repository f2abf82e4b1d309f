/** Memory for pages with large values on their way to one reader. */
export interface PageMemory {
  /**
   * Called before values of more than `smallPageBytes` are read: waits until there is memory for `maxPageBytes` of them.
   * Rejects when the reader is gone.
   */
  reserve(): Promise<void> | undefined
}

/** For readers that hold no more than one page at a time. */
export const unlimitedMemory: PageMemory = { reserve: () => undefined }
