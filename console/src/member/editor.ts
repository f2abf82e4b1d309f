import { defaultKeymap, history, historyKeymap } from '@codemirror/commands'
import { json } from '@codemirror/lang-json'
import {
  bracketMatching,
  codeFolding,
  foldGutter,
  foldKeymap,
  HighlightStyle,
  indentOnInput,
  syntaxHighlighting,
} from '@codemirror/language'
import { type Diagnostic, linter } from '@codemirror/lint'
import { diff } from '@codemirror/merge'
import { openSearchPanel, search, searchKeymap } from '@codemirror/search'
import {
  Annotation,
  Compartment,
  EditorSelection,
  EditorState,
  type Extension,
  StateEffect,
  StateField,
  Transaction,
} from '@codemirror/state'
import {
  Decoration,
  type DecorationSet,
  EditorView,
  highlightSpecialChars,
  keymap,
  lineNumbers,
} from '@codemirror/view'
import { tags } from '@lezer/highlight'
import { rangeOfPointer, readJson } from '../ui/json-text.ts'
import type { Violation } from './open-member.svelte.ts'
import { lineBreakOf } from './value-kinds.ts'

/** The editor of values: CodeMirror with what kvist's values need. Loaded when a member is opened. */

export interface EditorOptions {
  readonly parent: HTMLElement
  readonly text: string
  readonly isJson: boolean
  readonly isReadOnly: boolean
  /** For assistive technology. */
  readonly label: string
  readonly onChange: (text: string) => void
}

export interface Editor {
  /** Replaces the text. With `marksNews` what is different glows once. */
  setText(text: string, marksNews: boolean): void
  setKind(options: Pick<EditorOptions, 'isJson' | 'isReadOnly' | 'label'>): void
  /** Marks where the text breaks a schema, until it is changed. */
  setViolations(violations: readonly Violation[]): void
  focus(): void
  /** Puts the cursor at a position and shows it. */
  reveal(at: number): void
  search(): void
  destroy(): void
}

const colours = HighlightStyle.define([
  { tag: tags.propertyName, color: 'var(--syntax-key)' },
  { tag: tags.string, color: 'var(--leaf)' },
  { tag: tags.number, color: 'var(--amber)' },
  { tag: [tags.bool, tags.null], color: 'var(--amber)' },
  { tag: [tags.separator, tags.punctuation, tags.bracket], color: 'var(--faint)' },
])

export const theme = EditorView.theme({
  '&': { color: 'var(--ink)', backgroundColor: 'transparent', height: '100%' },
  '&.cm-focused': { outline: 'none' },
  '.cm-scroller': { fontFamily: 'var(--mono)', fontSize: 'var(--text-mono)', lineHeight: '1.6' },
  '.cm-content': { padding: 'var(--s2) 0', caretColor: 'var(--leaf)' },
  '.cm-line': { padding: '0 var(--s3) 0 var(--s1)' },
  '.cm-gutters': { border: '0', color: 'var(--faint)', backgroundColor: 'transparent' },
  '.cm-lineNumbers .cm-gutterElement': { minWidth: '34px', padding: '0 4px 0 8px' },
  '.cm-foldGutter .cm-gutterElement': { width: '14px', cursor: 'pointer', color: 'var(--faint)' },
  '.cm-foldPlaceholder': {
    border: '1px solid var(--line)',
    borderRadius: '4px',
    backgroundColor: 'var(--hover)',
    color: 'var(--soft)',
    padding: '0 4px',
  },
  '&.cm-focused .cm-matchingBracket': { backgroundColor: 'var(--leaf-wash)', color: 'inherit' },
  '&.cm-focused .cm-nonmatchingBracket': { backgroundColor: 'var(--rose-wash)', color: 'inherit' },
  '.cm-news': { animation: 'news 2.4s ease-out' },
  '@keyframes news': { '0%, 40%': { backgroundColor: 'var(--leaf-wash)' } },
  '.cm-specialChar': { color: 'var(--rose)' },
  '.cm-lintRange-error': {
    backgroundImage: 'none',
    textDecoration: 'underline wavy var(--rose)',
    textUnderlineOffset: '3px',
  },
  '.cm-lintPoint-error::after': { borderBottomColor: 'var(--rose)' },
  '.cm-tooltip': {
    border: '1px solid var(--line)',
    borderRadius: 'var(--radius-small)',
    backgroundColor: 'var(--surface)',
    color: 'var(--ink)',
    boxShadow: 'var(--float)',
  },
  '.cm-diagnostic': { border: '0', padding: '4px 8px', fontFamily: 'var(--sans)', fontSize: 'var(--text)' },
  '.cm-panels': { backgroundColor: 'var(--raised)', color: 'var(--ink)' },
  '.cm-panels-top': { borderBottom: '1px solid var(--line)' },
  '.cm-panel.cm-search': {
    padding: 'var(--s2) 28px var(--s2) var(--s2)',
    fontFamily: 'var(--sans)',
    fontSize: 'var(--text)',
  },
  '.cm-panel.cm-search label': { fontSize: 'var(--text-small)', color: 'var(--soft)' },
  '.cm-textfield': {
    border: '1px solid var(--strong-line)',
    borderRadius: 'var(--radius-small)',
    backgroundColor: 'var(--surface)',
    fontSize: 'var(--text)',
    padding: '3px 6px',
  },
  '.cm-button': {
    border: '1px solid var(--line)',
    borderRadius: 'var(--radius-small)',
    backgroundImage: 'none',
    backgroundColor: 'var(--surface)',
    fontSize: 'var(--text)',
    padding: '3px 8px',
  },
  '.cm-panel.cm-search [name=close]': { color: 'var(--soft)', fontSize: '18px', right: '8px', top: '6px' },
  '.cm-searchMatch': { backgroundColor: 'var(--amber-wash)', outline: '1px solid var(--amber)' },
  '.cm-searchMatch-selected': { backgroundColor: 'var(--leaf-wash)', outline: '1px solid var(--leaf)' },
})

/** Of a transaction that a person did not type. */
const fromOutside = Annotation.define<true>()
/** The violations of a schema are others now. */
const setViolations = StateEffect.define<null>()
const setNews = StateEffect.define<DecorationSet>()

/** Lines that somebody else has changed, as long as they are marked. */
const news = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update(marked, transaction) {
    for (const effect of transaction.effects) if (effect.is(setNews)) return effect.value
    return transaction.docChanged ? Decoration.none : marked
  },
  provide: (field) => EditorView.decorations.from(field),
})

const newsLine = Decoration.line({ class: 'cm-news' })
/** A diff of more than this takes too long. */
const maxComparedChars = 200_000

/** What every editor of the console has. */
export function basics(label: string, text: string): Extension[] {
  const nonce = document.querySelector<HTMLMetaElement>('meta[name="csp-nonce"]')?.nonce ?? ''
  return [
    EditorView.cspNonce.of(nonce),
    theme,
    syntaxHighlighting(colours),
    EditorView.lineWrapping,
    EditorView.contentAttributes.of({ 'aria-label': label, spellcheck: 'false' }),
    highlightSpecialChars(),
    // Else CodeMirror would write a carriage return of its own away.
    lineBreakOf(text) === 'mixed' ? EditorState.lineSeparator.of('\n') : [],
  ]
}

/** Returns the text of an editor as it is to be stored, with the line breaks that it came with. */
export function textOfState(state: EditorState, original: string): string {
  return state.doc.sliceString(0, state.doc.length, lineBreakOf(original) === '\r\n' ? '\r\n' : '\n')
}

export function languageOf(isJson: boolean): Extension {
  return isJson ? [json(), codeFolding(), foldGutter({ openText: '⌄', closedText: '›' })] : []
}

/** Replaces what differs, so that the cursor and what is in view stay where they are. */
function replaceText(view: EditorView, text: string, marksNews: boolean): void {
  const before = view.state.doc.toString()
  const next = view.state.toText(text)
  const after = next.toString()
  const isComparable = before.length + after.length <= maxComparedChars
  const differences = isComparable
    ? diff(before, after, { scanLimit: 500, timeout: 50 })
    : [{ fromA: 0, toA: before.length, fromB: 0, toB: after.length }]
  view.dispatch({
    changes: differences.map(({ fromA, toA, fromB, toB }) => ({
      from: fromA,
      to: toA,
      insert: next.slice(fromB, toB),
    })),
    annotations: [fromOutside.of(true), Transaction.addToHistory.of(!marksNews)],
  })
  if (!marksNews || !isComparable) return
  const { doc } = view.state
  const lines = new Set<number>()
  for (const { fromB, toB } of differences) {
    const last = doc.lineAt(Math.max(fromB, toB)).number
    for (let number = doc.lineAt(fromB).number; number <= last; number++) lines.add(doc.line(number).from)
  }
  const marked = [...lines].sort((a, b) => a - b).map((from) => newsLine.range(from))
  view.dispatch({ effects: setNews.of(Decoration.set(marked)) })
}

/** Escape gives the focus back to the page; in the search panel it closes that. */
function leaveOnEscape(view: EditorView): boolean {
  view.contentDOM.blur()
  return true
}

export function createEditor(options: EditorOptions): Editor {
  let original = options.text
  let violations: readonly Violation[] = []
  const kind = new Compartment()
  let now: Pick<EditorOptions, 'isJson' | 'isReadOnly' | 'label'> = options

  const diagnosticsOf = (view: EditorView): Diagnostic[] => {
    if (!now.isJson) return []
    const text = view.state.doc.toString()
    if (text.trim() === '') return []
    const fault = readJson(text)
    if (fault !== null) {
      const to = Math.min(text.length, fault.at + 1)
      return [{ from: fault.at, to, severity: 'error', message: fault.message }]
    }
    return violations.flatMap(({ pointer, reason }) => {
      const range = rangeOfPointer(text, pointer)
      return range === null
        ? []
        : [{ ...range, severity: 'error' as const, message: `${pointer} ${reason}`.trim() }]
    })
  }

  const kindExtensions = (): Extension => [
    languageOf(now.isJson),
    EditorState.readOnly.of(now.isReadOnly),
    EditorView.contentAttributes.of({ 'aria-label': now.label }),
  ]

  // A schema that was broken is told of without a change of the text.
  const faults = linter(diagnosticsOf, {
    delay: 200,
    needsRefresh: ({ transactions }) =>
      transactions.some(({ effects }) => effects.some((effect) => effect.is(setViolations))),
  })

  const stateOf = (text: string): EditorState =>
    EditorState.create({
      doc: text,
      extensions: [
        basics(options.label, text),
        lineNumbers(),
        kind.of(kindExtensions()),
        history(),
        bracketMatching(),
        indentOnInput(),
        search({ top: true }),
        news,
        faults,
        keymap.of([
          ...searchKeymap,
          ...defaultKeymap,
          ...historyKeymap,
          ...foldKeymap,
          { key: 'Escape', run: leaveOnEscape },
        ]),
        EditorView.updateListener.of(({ docChanged, state, transactions }) => {
          const isOwn = transactions.some((transaction) => transaction.annotation(fromOutside) === true)
          if (docChanged && !isOwn) options.onChange(textOfState(state, original))
        }),
      ],
    })

  const view = new EditorView({ parent: options.parent, state: stateOf(options.text) })
  return {
    setText(text, marksNews) {
      if (textOfState(view.state, original) === text) return
      // How lines are separated is fixed when a state is made.
      if ((lineBreakOf(original) === 'mixed') === (lineBreakOf(text) === 'mixed'))
        replaceText(view, text, marksNews)
      else view.setState(stateOf(text))
      original = text
    },
    setKind(kindNow) {
      now = kindNow
      view.dispatch({ effects: kind.reconfigure(kindExtensions()) })
    },
    setViolations(found) {
      violations = found
      view.dispatch({ effects: setViolations.of(null) })
    },
    focus: () => view.focus(),
    reveal(at) {
      view.dispatch({
        selection: EditorSelection.cursor(Math.min(at, view.state.doc.length)),
        scrollIntoView: true,
      })
      view.focus()
    },
    search: () => void openSearchPanel(view),
    destroy: () => view.destroy(),
  }
}
