import { expect, test } from 'bun:test'
import { shellQuoted } from './shell.ts'

test('a shell reads back what was quoted', () => {
  const texts = ["it's", '$(date) `date` "$HOME" \\', 'a\nb', '', '-n', '*', '~', '#', 'å😀', "''"]
  for (const text of texts) {
    const { stdout } = Bun.spawnSync(['sh', '-c', `printf %s ${shellQuoted(text)}`])
    expect(stdout.toString()).toBe(text)
  }
})
