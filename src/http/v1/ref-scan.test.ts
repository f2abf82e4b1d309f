import { expect, test } from 'bun:test'
import { scanRefs } from './ref-scan.ts'

const scanBytes = (bytes: Buffer, limit = 10) =>
  scanRefs(bytes, limit)?.map(({ collection, key }) => ({ collection, key })) ?? null
const scan = (text: string, limit = 10) => scanBytes(Buffer.from(text), limit)
const refs = [
  { collection: 'c', key: 'k' },
  { collection: 'c', key: 'a/b ~' },
  { collection: 'cc', key: 'k'.repeat(512) },
  { collection: 'c', key: '\u007e!#[]' },
]
const compact = JSON.stringify({ members: refs })

test('reads bodies as serializers write them', () => {
  expect(scan(compact)).toEqual(refs)
  const spaced = compact.replaceAll('":', '": ').replaceAll(',"', ', "').replaceAll('},', '}, ')
  expect(scan(spaced)).toEqual(refs)
  expect(scan(compact, refs.length)).toEqual(refs)
  expect(scanBytes(Buffer.from(`xx${compact}xx`).subarray(2, 2 + compact.length), 10)).toEqual(refs)
})

test('leaves every other body to the parser', () => {
  const one = (ref: string) => `{"members":[${ref}]}`
  const others = [
    ...['', '{', '[]', '{"members":[]}', '{"members":{}}', one('null'), one('{}')],
    one('{"collection":"c","key":""}'),
    one('{"collection":"","key":"k"}'),
    one('{"collection":"_settings","key":"k"}'),
    one('{"collection":"..","key":"k"}'),
    one('{"collection":"c/d","key":"k"}'),
    one(`{"collection":"c","key":"${'k'.repeat(513)}"}`),
    one('{"collection":"c","key":"\\u0061"}'),
    one('{"collection":"c","key":"é"}'),
    one('{"collection":"é","key":"k"}'),
    one('{"collection":"c","key":"a\nb"}'),
    one('{"collection":"c","key":1}'),
    one('{"collection":"c","key":"k","revision":1}'),
    one('{"key":"k","collection":"c"}'),
    one('{"collection":"c" ,"key":"k"}'),
    one('{"collection":"c","key":"k"},'),
    one('{"collection":"c","key":"k"}{"collection":"c","key":"k"}'),
    one('{"collection": "c","key":"k"}'),
    `${compact} `,
    compact.slice(0, -1),
    `${compact}}`,
  ]
  for (const text of others) expect([text, scan(text)]).toEqual([text, null])
  expect(scan(compact, refs.length - 1)).toBeNull()
  for (let length = 0; length < compact.length; length++) expect(scan(compact.slice(0, length))).toBeNull()
})
