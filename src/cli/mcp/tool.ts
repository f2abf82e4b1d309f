import { z } from 'zod'
import type { Reach } from './reach.ts'

/** What agents can call. */
export interface Tool {
  readonly title: string
  readonly description: string
  readonly input: z.ZodObject
  /** It stores or deletes, so it needs --write. */
  readonly writes: boolean
  /** Checks the arguments, and resolves with the text for the agent. Throws what `explain` describes, and AgentErrors. */
  call(reach: Reach, given: unknown, signal: AbortSignal): Promise<string>
}

interface ToolParts<Input extends z.ZodObject> extends Omit<Tool, 'call' | 'writes'> {
  readonly input: Input
  readonly writes?: true
  run(reach: Reach, given: z.infer<Input>, signal: AbortSignal): Promise<string>
}

export function tool<Input extends z.ZodObject>({ run, writes, ...parts }: ToolParts<Input>): Tool {
  return {
    ...parts,
    writes: writes ?? false,
    call: (reach, given, signal) => run(reach, parts.input.parse(given), signal),
  }
}

/** Arguments that several tools have. */
export const collectionInput = z.string().describe('The name of the collection')
export const keyInput = z.string().describe('The key of the member')
export const afterInput = z
  .string()
  .optional()
  .describe('The `next` of the result before, to go on where that ended')
export const prefixInput = z.string().optional().describe('Only keys that begin with this')
export const filterInput = z
  .string()
  .optional()
  .describe(
    'Only keys like this: * is any run of characters, ? is one; a backslash takes the next one as it is',
  )

export function limitInput(most: number, usual: number) {
  return z.int().min(1).max(most).default(usual).describe(`The most to return, up to ${most}`)
}
