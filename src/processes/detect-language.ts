import type { Process } from '../core/process.ts'
import { withMembers } from '../json/object.ts'
import { rawMember } from '../json/scan.ts'

/** What BCP 47 calls a language that could not be detected: the text is too short, or all digits. */
const undetermined = 'und'
/** More text does not make the guess better, only slower. */
const maxCharacters = 1000

/**
 * Sets `lang` of an object to the language of the text in its `value`, as ISO 639-1 says it (`en`), or `und`; leaves
 * others alone. Detected offline by eld with its small table of n-grams, which is loaded when it is first needed: some
 * 80 MB of memory that servers without this process go without (docs/design/pipeline.md).
 */
export const detectLanguage: Process = {
  name: 'detect-language',
  async run(draft) {
    const json = typeof draft.value === 'string' ? rawMember(draft.value, 'value') : undefined
    const text: unknown = json === undefined ? undefined : JSON.parse(json)
    if (typeof draft.value !== 'string' || typeof text !== 'string') return draft
    const { eld } = await import('eld/small')
    const language = eld.detect(text.slice(0, maxCharacters)).language || undetermined
    return { ...draft, value: withMembers(draft.value, [['lang', JSON.stringify(language)]]) }
  },
}
