import type { OperationDocs } from '../operation.ts'

/** The documentation of `/v1/_backup`. */

export const getBackup: OperationDocs = {
  id: 'getBackup',
  description:
    'Everything that the store holds, with settings, tokens and tombstones, as of one revision that includes all that was acknowledged before. Writes go on meanwhile. One backup is taken at a time. Only a response that arrived to its end is a backup: `kvist backup` verifies it, and `kvist restore` refuses anything else (docs/backup.md).',
  responses: {
    200: {
      description: 'The file of the backup',
      headers: {
        'Kvist-Revision': {
          description: 'The last revision that the backup has',
          schema: { type: 'integer', minimum: 0 },
        },
      },
      content: { 'application/octet-stream': { schema: { type: 'string', format: 'binary' } } },
    },
  },
  problems: ['invalid_parameter', 'busy', 'storage_failed', 'storage_full', 'not_implemented', 'closing'],
}
