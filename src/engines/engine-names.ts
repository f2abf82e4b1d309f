/** The engines that a server can be started with; open.ts opens them. */
export const engineNames = ['sqlite', 'memory'] as const

/** How SQLite's file is read: its pages where that is possible, by SQLite alone, or in both ways, where a difference ends the process. */
export const pagesModes = ['on', 'off', 'checked'] as const
export type PagesMode = (typeof pagesModes)[number]

export type EngineName = (typeof engineNames)[number]
