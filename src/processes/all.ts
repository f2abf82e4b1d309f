import type { Process } from '../core/process.ts'
import { detectLanguage } from './detect-language.ts'
import { mark } from './mark.ts'

/** The built-in processes. To add one, add a file beside these and list it here. */
export const builtInProcesses: readonly Process[] = [detectLanguage, mark]
