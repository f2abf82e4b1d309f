import { expect, test } from 'bun:test'
import { parseConfig } from './config.ts'

function refusal(...args: string[]): string {
  try {
    parseConfig(args, {})
  } catch (error) {
    return (error as Error).message
  }
  return ''
}

test('an archive is for the engine that has a log, and is a folder of its own', () => {
  expect(refusal('--archive', 'a', '--engine', 'memory')).toBe(
    '--archive is for the engine sqlite: --engine memory keeps nothing on disk; leave out --archive, or --engine',
  )
  expect(refusal('--archive', 'a', '--engine', 'redis://h')).toBe(
    '--archive is for the engine sqlite: Redis keeps no log here; leave out --archive, or --engine',
  )
  expect(refusal('--archive', './d/', '--data', 'd')).toContain('is the data folder: name another one')
  expect(refusal('--archive-every', '1s')).toContain('which is missing')
  expect(refusal('--archive', 'a', '--archive-every', '0s')).toContain('--archive-every')
  expect(refusal('--archive', '')).toContain('--archive')
})

test('its base backups are the backups of the server', () => {
  expect(parseConfig(['--archive', 'a'], {}).backupTo).toBe('a')
  expect(parseConfig(['--archive', 'a', '--backup-to', './a'], {}).backupTo).toBe('a')
  expect(refusal('--archive', 'a', '--backup-to', 'b')).toBe(
    '--archive a takes its backups into its own folder: leave out --backup-to b',
  )
  expect(refusal('--archive', 'a', '--backup-keep', '3')).toBe('')
})
