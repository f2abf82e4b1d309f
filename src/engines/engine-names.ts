/** The engines that a server can be started with; open.ts opens them. */
export const engineNames = ['sqlite', 'memory'] as const

export type EngineName = (typeof engineNames)[number]
