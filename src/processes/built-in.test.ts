import { describe, expect, test } from 'bun:test'
import { type Draft, refuse } from '../core/process.ts'
import { builtInProcesses } from './all.ts'
import { detectLanguage } from './detect-language.ts'
import { mark } from './mark.ts'

const context = { collection: 'text', nowMs: 0, refuse }

function draft(value: Draft['value']): Draft {
  return { key: 'k', value, contentType: 'application/json', expiresAtMs: null }
}

test('every process has a name of its own', () => {
  const names = builtInProcesses.map(({ name }) => name)
  expect(new Set(names).size).toBe(names.length)
})

test.each([
  ['"x"', '"x (Marked)."'],
  ['""', '" (Marked)."'],
  ['{"value":"x","n": 1.0}', '{"value":"x (Marked).","n":1.0}'],
  ['{"value":7}', '{"value":7}'],
  ['{"text":"x"}', '{"text":"x"}'],
  ['["x"]', '["x"]'],
  [' 7 ', ' 7 '],
])('mark makes %s %s', async (value, marked) => {
  expect((await mark.run(draft(value), context)).value).toBe(marked)
})

test('both leave bytes alone', async () => {
  const bytes = draft(Buffer.from('good morning'))
  expect(await mark.run(bytes, context)).toBe(bytes)
  expect(await detectLanguage.run(bytes, context)).toBe(bytes)
})

/** Short texts as people write them. */
const spoken: Readonly<Record<string, readonly string[]>> = {
  en: ['good morning', 'How are you today?', 'The cat sat on the mat.', 'Please send me the report'],
  es: ['buenos días', '¿Cómo estás hoy?', 'Te llamaré mañana', 'dónde está la estación de tren'],
  ca: ['bon dia a tothom', 'Com estàs avui?', "Envia'm l'informe si us plau"],
  fr: ['bonjour à tous', "Comment allez-vous aujourd'hui ?", "Je t'appellerai demain", 'où est la gare'],
  de: ['guten Morgen', 'Wie geht es dir heute?', 'Ich rufe dich morgen an', 'wo ist der Bahnhof'],
  it: ['buongiorno a tutti', 'Come stai oggi?', "dov'è la stazione"],
  pt: ['bom dia a todos', 'Como você está hoje?', 'onde fica a estação'],
  nl: ['goedemorgen allemaal', 'Hoe gaat het vandaag?', 'Ik bel je morgen'],
  sv: ['god morgon allihopa', 'Hur mår du idag?', 'var ligger stationen'],
  fi: ['hyvää huomenta kaikille', 'Mitä kuuluu tänään?'],
  pl: ['dzień dobry wszystkim', 'Zadzwonię do ciebie jutro'],
  cs: ['dobré ráno všem', 'Zavolám ti zítra', 'kde je nádraží'],
  tr: ['herkese günaydın', 'Bugün nasılsın?'],
  uk: ['доброго ранку всім', 'Надішліть мені звіт'],
  ja: ['おはようございます', '駅はどこですか'],
  zh: ['大家早上好', '火车站在哪里'],
  ko: ['좋은 아침입니다', '오늘 어떠세요?'],
  el: ['καλημέρα σε όλους', 'πού είναι ο σταθμός'],
}

describe('detect-language', () => {
  test.each(Object.entries(spoken))('detects %s, in short texts too', async (lang, texts) => {
    const reported = texts.map(async (value) => {
      const { value: record } = await detectLanguage.run(draft(JSON.stringify({ value })), context)
      return JSON.parse(String(record)).lang
    })
    expect(await Promise.all(reported)).toEqual(texts.map(() => lang))
  })

  test.each(['', '0123456789', '...', '🙂'])('says und of %j', async (value) => {
    const { value: record } = await detectLanguage.run(draft(JSON.stringify({ value })), context)
    expect(JSON.parse(String(record))).toEqual({ value, lang: 'und' })
  })

  test('replaces what was detected before, and keeps the rest as it is', async () => {
    const sent = '{"lang":"xx","n": 1.0,"value":"Wie geht es dir heute?"}'
    expect((await detectLanguage.run(draft(sent), context)).value).toBe(
      '{"lang":"de","n":1.0,"value":"Wie geht es dir heute?"}',
    )
  })

  test.each(['"Wie geht es dir?"', '{"text":"Wie geht es dir?"}', '{"value":7}', '[]'])(
    'leaves %s alone',
    async (value) => {
      expect((await detectLanguage.run(draft(value), context)).value).toBe(value)
    },
  )
})
