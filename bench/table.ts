import { summaryOf } from './bars.ts'
import type { Measure, Results, Row, Verdict } from './results.ts'

/** Formats results as Markdown. */
export function markdown(results: Results): string {
  const parts = [`Machine: ${results.machine}; ${results.at.slice(0, 10)}.`, ...results.remarks]
  if (results.loads.length > 0) parts.push(loadsTable(results))
  if (results.verdicts.length > 0) parts.push(verdictsTable(results.verdicts), missedLine(results.verdicts))
  return `${parts.join('\n\n')}\n`
}

function loadsTable({ loads }: Results): string {
  const lines = [
    row([
      'Load',
      'Contestant',
      'a second',
      'kvist is',
      'p50 ms',
      'p99 ms',
      'p99.9 ms',
      'slowest ms',
      'errors',
      'memory MB',
    ]),
    row(['---', '---', '--:', '--:', '--:', '--:', '--:', '--:', '--:', '--:']),
  ]
  for (const load of loads) {
    const own = summaryOf(load.rows.find(({ contestant }) => contestant === 'kvist')?.rounds ?? [])
    for (const [index, found] of load.rows.entries()) {
      lines.push(row([index === 0 ? load.title : '', found.title, ...figuresOf(found, own)]))
    }
  }
  const notes = loads.flatMap(({ title, note }) => (note ? [`${title}: ${note}`] : []))
  return [lines.join('\n'), ...notes].join('\n\n')
}

function figuresOf({ contestant, rounds, failed }: Row, own: Measure | null): string[] {
  const all = summaryOf(rounds)
  if (all === null) return [failed ?? 'not run', '', '', '', '', '', '', '']
  const ratio = own && contestant !== 'kvist' ? `${(own.perSecond / all.perSecond).toFixed(2)} ×` : ''
  const times = [all.p50Ms, all.p99Ms, all.p999Ms ?? null, all.maxMs].map((ms) =>
    ms === null ? '' : ms.toFixed(2),
  )
  const errors = failed === undefined ? `${all.errors}` : `${all.errors}; a round failed: ${failed}`
  return [thousands(all.perSecond), ratio, ...times, errors, memoryOf(all)]
}

/** The largest resident memory, and how much of it are no pages of mapped files. */
function memoryOf({ peakMb, ownMb }: Measure): string {
  return ownMb ? `${peakMb.toFixed(0)}, own ${ownMb.toFixed(0)}` : peakMb.toFixed(0)
}

function verdictsTable(verdicts: readonly Verdict[]): string {
  const lines = [
    row(['Bar', 'to reach', 'found', 'rounds', 'reached']),
    row(['---', '--:', '--:', '--:', '---']),
  ]
  for (const { text, unit, found, atLeast, atMost, reached } of verdicts) {
    const bound = atLeast ?? atMost
    const wanted = bound === undefined ? '' : `${atLeast === undefined ? '≤' : '≥'} ${figure(bound, unit)}`
    const range =
      !found || found.low === found.high ? '' : `${bareFigure(found.low)} to ${bareFigure(found.high)}`
    const value = found ? figure(found.value, unit) : 'not measured'
    const reply = bound === undefined || !found ? '' : reached ? 'yes' : '**no**'
    lines.push(row([text, wanted, value, range, reply]))
  }
  return lines.join('\n')
}

/** Returns a line that names the missed bars. */
function missedLine(verdicts: readonly Verdict[]): string {
  const bars = verdicts.filter(({ atLeast, atMost }) => (atLeast ?? atMost) !== undefined)
  if (bars.length === 0) return 'No bars.'
  const missed = bars.filter(({ reached, found }) => found && !reached)
  const untaken = bars.filter(({ found }) => !found)
  const parts = [
    missed.length > 0
      ? `**Not reached, ${missed.length} of ${bars.length}:** ${listOf(missed)}.`
      : untaken.length === 0
        ? bars.length === 1
          ? 'The only bar is reached.'
          : `All of the ${bars.length} bars are reached.`
        : '',
    untaken.length > 0 ? `Not measured, ${untaken.length} of ${bars.length}: ${listOf(untaken)}.` : '',
  ]
  return parts.filter(Boolean).join(' ')
}

function listOf(verdicts: readonly Verdict[]): string {
  return verdicts.map(({ text }) => text).join('; ')
}

function row(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`
}

function figure(value: number, unit: string): string {
  return `${bareFigure(value)} ${unit}`
}

function bareFigure(value: number): string {
  if (value === 0) return '0'
  return Math.abs(value) >= 1000 ? thousands(value) : value.toFixed(Math.abs(value) < 10 ? 2 : 0)
}

export function thousands(value: number): string {
  return Math.round(value).toLocaleString('en-US')
}
