import type { Process } from '../core/process.ts'
import { isObjectText, withMembers } from '../json/object.ts'
import { rawMember } from '../json/scan.ts'

const marking = ' (Marked).'

/** Appends ` (Marked).` to a JSON string, or to the string in the `value` of an object; leaves other values alone. */
export const mark: Process = {
  name: 'mark',
  run(draft) {
    const { value } = draft
    if (typeof value !== 'string') return draft
    if (!isObjectText(value)) return { ...draft, value: marked(value) }
    const text = rawMember(value, 'value')
    if (text === undefined) return draft
    return { ...draft, value: withMembers(value, [['value', marked(text)]]) }
  },
}

function marked(json: string): string {
  const text: unknown = JSON.parse(json)
  return typeof text === 'string' ? JSON.stringify(text + marking) : json
}
