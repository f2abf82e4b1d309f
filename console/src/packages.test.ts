import { expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import manifest from '../../package.json' with { type: 'json' }

const importForm = /^(?:import [^'\n]*|\} from )'((?:@[^/'\n]+\/)?[^./'\n][^/'\n]*)/gm

test('what the console is built from is installed where kvist only serves', () => {
  const paths = [...new Bun.Glob('**/*.{ts,svelte}').scanSync(import.meta.dir)].filter(
    (path) => !path.includes('.test'),
  )
  const imported = paths.flatMap((path) => {
    const text = readFileSync(join(import.meta.dir, path), 'utf8')
    return Array.from(text.matchAll(importForm), ([, name]) => name!)
  })
  expect(imported).toContain('uplot')
  const lacking = imported.filter(
    (name) =>
      name !== 'kvist-client' && !name.startsWith('node:') && !Object.hasOwn(manifest.dependencies, name),
  )
  expect(lacking).toEqual([])
})
