import { z } from 'zod'
import { AgentError, collectionIn } from './reach.ts'
import { collectionInput, keyInput, tool } from './tool.ts'

const ifRevisionInput = z
  .int()
  .min(1)
  .optional()
  .describe('Only if the member still has this revision, which get and find return')

export const putTool = tool({
  title: 'Store a member',
  description:
    'Stores a value under a key, in place of the one before, and returns the revision. Give one of `value`, `text` and `base64`. ' +
    'Conditions keep two writers from overwriting each other.',
  writes: true,
  input: z.strictObject({
    collection: collectionInput,
    key: keyInput,
    value: z.json().optional().describe('The value, if it is JSON'),
    text: z
      .string()
      .optional()
      .describe(
        'The value, if it is text; with the content type application/json it is JSON that is stored as it is written',
      ),
    base64: z.base64().optional().describe('The value, if it is other bytes'),
    content_type: z.string().optional().describe('The type of text or base64'),
    expire_in: z.string().optional().describe('How long it lives: 90s, 15m, 12h, 7d, or never'),
    if_revision: ifRevisionInput,
    create: z.boolean().optional().describe('Only if there is no such member'),
  }),
  async run(reach, { collection, key, value, text, base64, content_type, ...options }, signal) {
    if ([value, text, base64].filter((one) => one !== undefined).length !== 1)
      throw new AgentError('put takes exactly one of value, text and base64')
    if (value !== undefined && content_type !== undefined)
      throw new AgentError('content_type goes with text and base64: a value is JSON')
    const { expire_in: expireIn, create, if_revision: ifRevision } = options
    const writeOptions = { expireIn, create, signal, ...(ifRevision === undefined ? {} : { ifRevision }) }
    const target = collectionIn(reach, collection)
    const stored =
      base64 !== undefined
        ? await target.putRaw(
            key,
            Buffer.from(base64, 'base64'),
            content_type ?? 'application/octet-stream',
            writeOptions,
          )
        : text !== undefined
          ? await target.putRaw(key, text, content_type ?? 'text/plain; charset=utf-8', writeOptions)
          : await target.put(key, value, writeOptions)
    return JSON.stringify(stored)
  },
})

export const deleteTool = tool({
  title: 'Delete a member',
  description: 'Deletes one member, and returns whether there was such a member.',
  writes: true,
  input: z.strictObject({ collection: collectionInput, key: keyInput, if_revision: ifRevisionInput }),
  async run(reach, { collection, key, if_revision: ifRevision }, signal) {
    const condition = ifRevision === undefined ? {} : { ifRevision }
    const deleted = await collectionIn(reach, collection).delete(key, { signal, ...condition })
    return JSON.stringify({ deleted })
  },
})
