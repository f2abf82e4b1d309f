import type { Process } from '../core/process.ts'
import { detectLanguage } from './detect-language.ts'
import { mark } from './mark.ts'

/** The processes that every kvist has. To add one is a file beside these and a row here. */
export const builtInProcesses: readonly Process[] = [detectLanguage, mark]
