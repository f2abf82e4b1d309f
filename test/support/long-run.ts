/**
 * Whether `npm run test:long` runs: as many rounds as find what is rare. `npm test` does the same in fewer, and leaves out what
 * only repeats a suite on one more layout of the disk.
 */
export const isLongRun = process.env.KVIST_TEST_LONG !== undefined
