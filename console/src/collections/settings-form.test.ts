import { expect, test } from 'bun:test'
import type { Settings } from 'kvist-client'
import { errorsOf, fieldsOf, rebased, settingsOf } from './settings-form.ts'

const settings: Settings = {
  processes: ['mark', 'detect-language'],
  default_ttl: 7 * 86_400,
  sliding: true,
  max_members: 10,
  max_bytes: 64 * 2 ** 20,
  max_value_bytes: 1000,
  schema: { type: 'object' },
  indexes: [{ name: 'by_country', on: ['@.country'] }],
}

test('settings are shown in the largest unit that fits, and what is shown means the same', () => {
  const fields = fieldsOf(settings)
  expect(fields).toEqual({
    defaultTtl: '7d',
    sliding: true,
    processes: 'mark, detect-language',
    maxMembers: '10',
    maxBytes: '64MiB',
    maxValueBytes: '1000',
    schema: '{\n  "type": "object"\n}',
  })
  expect(errorsOf(fields)).toEqual({})
  expect(settingsOf(settings, fields)).toEqual({ ...settings, default_ttl: '7d', max_bytes: '64MiB' })
})

test('empty fields unset, and what the form does not know is kept', () => {
  const more: Settings & { readonly unknown: number } = { ...settings, unknown: 1 }
  const empty = {
    defaultTtl: ' ',
    sliding: false,
    processes: ' , ',
    maxMembers: '',
    maxBytes: '',
    maxValueBytes: '',
    schema: ' ',
  }
  const unset = { processes: null, default_ttl: null, sliding: false, max_members: null, max_bytes: null }
  expect(settingsOf(more, empty)).toEqual({
    ...unset,
    max_value_bytes: null,
    schema: null,
    indexes: settings.indexes,
    unknown: 1,
  } as Settings)
})

test("somebody else's change shows in the fields that were not touched, and what was typed stays", () => {
  const typed = { ...fieldsOf(settings), defaultTtl: '1h', maxMembers: '' }
  const now: Settings = { ...settings, default_ttl: 60, sliding: false, schema: null }
  expect(rebased(typed, fieldsOf(settings), now)).toEqual({
    ...fieldsOf(now),
    defaultTtl: '1h',
    maxMembers: '',
  })
})

test('an index is sent without its state', () => {
  const index = { name: 'by-city', on: ['@.city'], unique: false }
  const before = { ...settings, indexes: [{ ...index, state: 'building', examined: 7 } as const] }
  expect(settingsOf(before, fieldsOf(before)).indexes).toEqual([{ name: 'by-city', on: ['@.city'] }])
})

test('what is wrong is named where it is', () => {
  const fields = fieldsOf(settings)
  const wrong = { ...fields, defaultTtl: 'soon', maxMembers: '0', maxBytes: '64 pounds', maxValueBytes: '-1' }
  expect(Object.keys(errorsOf(wrong))).toEqual(['defaultTtl', 'maxMembers', 'maxBytes', 'maxValueBytes'])
  expect(Object.keys(errorsOf({ ...fields, defaultTtl: '' }))).toEqual(['sliding'])
  const schemas = { '{"a"': /not JSON/, '[]': /object, true or false/, 1: /object, true or false/ }
  for (const [schema, says] of Object.entries(schemas))
    expect(errorsOf({ ...fields, schema }).schema).toMatch(says)
  expect(errorsOf({ ...fields, schema: 'false' })).toEqual({})
})
