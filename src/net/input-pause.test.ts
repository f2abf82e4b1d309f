import { expect, test } from 'bun:test'
import { InputPause } from './input-pause.ts'

test('a socket is paused and resumed once, however often that is asked for', () => {
  const calls: string[] = []
  const input = new InputPause({ pause: () => calls.push('pause'), resume: () => calls.push('resume') })
  input.setPaused(false)
  expect(calls).toEqual([])
  input.setPaused(true)
  input.setPaused(true)
  expect(calls).toEqual(['pause'])
  input.setPaused(false)
  input.setPaused(false)
  expect(calls).toEqual(['pause', 'resume'])
})
