import type { Process } from '../core/process.ts'
import { withMembers } from '../json/object.ts'
import { rawMember } from '../json/scan.ts'

/** The BCP 47 code of an undetermined language: the text is too short, or all digits. */
const undetermined = 'und'
/** The characters that are examined. More text does not make the result better, only slower. */
const maxCharacters = 1000

/**
 * Sets `lang` of an object to the language of the text in its `value`, an ISO 639-1 code (`en`) or `und`; leaves other
 * values alone. The detection is offline, by eld with its small table of n-grams. The table is loaded on first use, so
 * servers without this process save some 80 MB of memory (docs/design/pipeline.md).
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
