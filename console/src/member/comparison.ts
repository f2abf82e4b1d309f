import { defaultKeymap, history, historyKeymap } from '@codemirror/commands'
import { MergeView, unifiedMergeView } from '@codemirror/merge'
import { EditorState, type Extension } from '@codemirror/state'
import { EditorView, keymap, lineNumbers } from '@codemirror/view'
import { basics, languageOf, textOfState } from './editor.ts'

/** Two texts beside each other, or on a narrow screen in one another, with what differs marked. */

export interface ComparisonOptions {
  readonly parent: HTMLElement
  /** The older one, or somebody else's: it cannot be changed. */
  readonly left: { readonly text: string; readonly label: string }
  /** The newer one, or one's own. With `onChange` it can be changed, and each difference be taken from the left. */
  readonly right: { readonly text: string; readonly label: string }
  readonly isJson: boolean
  readonly isNarrow: boolean
  readonly onChange: ((text: string) => void) | null
}

/** A diff gives up after this many milliseconds and marks more than it had to. */
const diffConfig = { scanLimit: 1000, timeout: 200 }
const collapseUnchanged = { margin: 3, minSize: 6 }

/** One class more than CodeMirror's own rules have, which would win. */
const own = '&.cm-editor'
const theme = EditorView.theme({
  '&': { height: 'auto' },
  [`${own}.cm-merge-a .cm-changedLine, ${own} .cm-deletedChunk`]: { backgroundColor: 'var(--rose-wash)' },
  [`${own}.cm-merge-b .cm-changedLine, ${own} .cm-inlineChangedLine`]: {
    backgroundColor: 'var(--leaf-wash)',
  },
  [`${own} .cm-changedText, ${own} .cm-deletedChunk .cm-deletedText`]: {
    background: 'none',
    fontWeight: '700',
  },
  [`${own} .cm-deletedText`]: { textDecoration: 'none' },
  [`${own}.cm-merge-a .cm-changedLineGutter, ${own} .cm-deletedLineGutter`]: { background: 'var(--rose)' },
  [`${own}.cm-merge-b .cm-changedLineGutter`]: { background: 'var(--leaf)' },
  [`${own} .cm-inlineChangedLineGutter`]: { background: 'var(--leaf)' },
  [`${own} .cm-deletedChunk`]: { paddingLeft: '4px' },
  [`${own} .cm-collapsedLines`]: {
    background: 'var(--hover)',
    color: 'var(--soft)',
    fontFamily: 'var(--sans)',
    fontSize: 'var(--text-small)',
    padding: '3px 8px',
  },
  [`${own} .cm-collapsedLines::before, ${own} .cm-collapsedLines::after`]: { content: 'none' },
})

function editorExtensions(text: string, label: string, isJson: boolean, isReadOnly: boolean): Extension[] {
  return [
    basics(label, text),
    theme,
    lineNumbers(),
    languageOf(isJson),
    isReadOnly
      ? [EditorState.readOnly.of(true)]
      : [history(), keymap.of([...defaultKeymap, ...historyKeymap])],
  ]
}

function controlButton(label: string, text: string): HTMLButtonElement {
  const button = document.createElement('button')
  button.type = 'button'
  button.title = label
  button.ariaLabel = label
  button.textContent = text
  return button
}

/** Shows the comparison; returns what removes it. */
export function showComparison(options: ComparisonOptions): () => void {
  return options.isNarrow ? showUnified(options) : showBeside(options)
}

function onChangeExtension({ onChange, right }: ComparisonOptions): Extension {
  if (onChange === null) return []
  return EditorView.updateListener.of(({ docChanged, state }) => {
    if (docChanged) onChange(textOfState(state, right.text))
  })
}

function showBeside(options: ComparisonOptions): () => void {
  const { parent, left, right, isJson, onChange } = options
  const view = new MergeView({
    parent,
    a: { doc: left.text, extensions: editorExtensions(left.text, left.label, isJson, true) },
    b: {
      doc: right.text,
      extensions: [
        editorExtensions(right.text, right.label, isJson, onChange === null),
        onChangeExtension(options),
      ],
    },
    ...(onChange === null
      ? {}
      : {
          revertControls: 'a-to-b' as const,
          renderRevertControl: () => controlButton('Take this difference', '→'),
        }),
    collapseUnchanged,
    diffConfig,
  })
  return () => view.destroy()
}

function showUnified(options: ComparisonOptions): () => void {
  const { parent, left, right, isJson, onChange } = options
  const controls = (type: 'reject' | 'accept', action: (event: MouseEvent) => void) => {
    const button =
      type === 'reject'
        ? controlButton('Take this difference', 'Take')
        : controlButton('Keep yours here', 'Keep')
    button.addEventListener('mousedown', action)
    // The keyboard has no mousedown.
    button.addEventListener('click', (event) => event.detail === 0 && action(event))
    return button
  }
  const view = new EditorView({
    parent,
    doc: right.text,
    extensions: [
      editorExtensions(right.text, right.label, isJson, onChange === null),
      unifiedMergeView({
        original: left.text,
        mergeControls: onChange === null ? false : controls,
        collapseUnchanged,
        diffConfig,
      }),
      onChangeExtension(options),
    ],
  })
  return () => view.destroy()
}
