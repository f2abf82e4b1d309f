/** The engines that a server can be started with; open.ts opens them. */
export const engineNames = ['sqlite', 'memory'] as const

/**
 * How SQLite's file is read: `on` reads its pages directly where possible, `off` through SQLite only, `checked` in both
 * ways, and ends the process when the results differ.
 */
export const pagesModes = ['on', 'off', 'checked'] as const
export type PagesMode = (typeof pagesModes)[number]

export type EngineName = (typeof engineNames)[number]
