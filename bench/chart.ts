import { summaryOf } from './bars.ts'
import type { LoadResult, Results, Series } from './results.ts'
import { thousands } from './table.ts'

/**
 * Draws results as SVG, without a library: a panel for each load with a bar for each contestant, because each load has
 * its own scale, and a panel for each line over time. The background is transparent and the colours are of medium
 * lightness, for light and dark pages.
 */

const panelWidth = 470
const columnGap = 40
const margin = 24
const barHeight = 18
const barGap = 8
const labelWidth = 110
const figureWidth = 80
const titleHeight = 34
const panelGap = 26
const lineHeight = 150
const headHeight = 58
const footHeight = 20

/** Colours by name, so that a contestant has the same colour in every panel. */
const colors: Readonly<Record<string, string>> = {
  kvist: '#2f81f7',
  relaxed: '#79b0f7',
  webdis: '#d9663d',
  memcached: '#d9663d',
  etcd: '#3f9c6b',
  bare: '#8b949e',
}

const style = `
  text { font: 13px system-ui, sans-serif; fill: #747d87 }
  .title { font-weight: 600 }
  .head { font-size: 18px; font-weight: 600 }
  .foot { font-size: 11px }
  .figure { font-variant-numeric: tabular-nums }
  .range, .axis { stroke: #747d87; stroke-width: 1; fill: none }
  .limit { stroke: #d9663d; stroke-width: 1; stroke-dasharray: 5 4 }`

interface Panel {
  readonly height: number
  readonly svg: string
}

export function chart(results: Results): string {
  const panels = [...results.loads.flatMap(barPanel), ...results.series.flatMap(linePanel)]
  // Puts the next panel into the shorter column.
  const bottoms = [headHeight, headHeight]
  const placed = panels.map(({ height, svg }) => {
    const column = (bottoms[1] ?? 0) < (bottoms[0] ?? 0) ? 1 : 0
    const x = margin + column * (panelWidth + columnGap)
    const y = bottoms[column] ?? 0
    bottoms[column] = y + height + panelGap
    return `<g transform="translate(${x} ${y})">${svg}</g>`
  })
  const width = panels.length > 1 ? 2 * (margin + panelWidth) + columnGap : 2 * margin + panelWidth
  const height = Math.max(...bottoms) + footHeight
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${escapeXml(results.title)}">
<style>${style}</style>
${text(margin, 30, results.title, 'head')}
${placed.join('\n')}
${text(margin, height - 16, results.machine, 'foot')}
</svg>
`
}

function barPanel({ title, unit, charted = 'perSecond', rows }: LoadResult): Panel[] {
  const bars = rows.flatMap(({ contestant, title: label, rounds }) => {
    const value = summaryOf(rounds)?.[charted] ?? null
    if (value === null) return []
    return [{ contestant, label, value, rates: rounds.map((round) => round[charted] ?? value) }]
  })
  // If there is no contestant to compare with, all bars are kvist's.
  const other = bars.some(({ contestant }) => contestant === 'kvist') ? colors.bare : colors.kvist
  if (bars.length === 0) return []
  const largest = Math.max(...bars.flatMap(({ value, rates }) => [value, ...rates]))
  const full = panelWidth - labelWidth - figureWidth
  const svg = bars.map(({ contestant, label, value, rates }, index) => {
    const y = titleHeight + index * (barHeight + barGap)
    const middle = y + barHeight / 2
    const [low, high] = [Math.min(...rates), Math.max(...rates)].map((rate) => at((rate / largest) * full))
    const width = at((value / largest) * full)
    const weight = contestant === 'kvist' ? 'title' : ''
    return [
      text(0, middle + 4, label, weight),
      `<rect x="${labelWidth}" y="${y}" width="${width}" height="${barHeight}" rx="2" fill="${colors[contestant] ?? other}"/>`,
      rates.length > 1
        ? `<path class="range" d="M${labelWidth} ${middle}m${low} 0H${labelWidth + (high ?? 0)}"/>`
        : '',
      `<text class="figure" x="${panelWidth}" y="${middle + 4}" text-anchor="end">${charted === 'p99Ms' ? value.toFixed(1) : thousands(value)}</text>`,
    ].join('')
  })
  return [
    {
      height: titleHeight + bars.length * (barHeight + barGap),
      svg: text(0, 18, `${title}, ${charted === 'p99Ms' ? 'p99 in ms' : unit}`, 'title') + svg.join('\n'),
    },
  ]
}

function linePanel({ title, unit, points, limit }: Series): Panel[] {
  const last = points.at(-1)
  if (last === undefined || last.x <= 0) return []
  const top = Math.max(limit ?? 0, ...points.map(({ y }) => y)) * 1.05
  const left = 50
  const width = panelWidth - left
  function position({ x, y }: { x: number; y: number }): string {
    return `${at(left + (x / last!.x) * width)},${at(titleHeight + lineHeight * (1 - y / top))}`
  }
  const bottom = titleHeight + lineHeight
  const marks = [
    text(0, bottom, '0'),
    text(left, bottom + 18, '0 s'),
    `<text x="${panelWidth}" y="${bottom + 18}" text-anchor="end">${thousands(last.x)} s</text>`,
    `<path class="axis" d="M${left} ${titleHeight}V${bottom}H${panelWidth}"/>`,
  ]
  if (limit === undefined) marks.push(text(0, titleHeight + 10, thousands(top)))
  else {
    marks.push(text(0, titleHeight + lineHeight * (1 - limit / top) + 5, thousands(limit)))
    marks.push(
      `<path class="limit" d="M${position({ x: 0, y: limit })}L${position({ x: last.x, y: limit })}"/>`,
    )
  }
  const line = `<polyline points="${points.map(position).join(' ')}" fill="none" stroke="${colors.kvist}" stroke-width="1.5"/>`
  return [{ height: bottom + 24, svg: text(0, 18, `${title}, ${unit}`, 'title') + marks.join('') + line }]
}

function at(position: number): number {
  return Math.round(position * 10) / 10
}

function text(x: number, y: number, content: string, name = ''): string {
  return `<text x="${x}" y="${y}"${name && ` class="${name}"`}>${escapeXml(content)}</text>`
}

function escapeXml(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
}
