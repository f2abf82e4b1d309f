import { expect, test } from 'bun:test'
import { shownName } from './shown-name.ts'

test('what is not seen, and what turns the text around it, has a sign', () => {
  expect(shownName('a\u202egnp.exe\u2069\u0000')).toBe('a⟨202E⟩gnp.exe⟨2069⟩⟨00⟩')
  expect(shownName('<b>Zoë</b> 😀/東京')).toBe('<b>Zoë</b> 😀/東京')
})

test('a name written from right to left keeps the sentence around it in order', () => {
  expect(`${shownName('שלום')} 12`).toBe('\u2068שלום\u2069 12')
})
