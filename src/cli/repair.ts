import { statSync } from 'node:fs'
import { repairFolder } from '../engines/sqlite/check/repair-folder.ts'
import type { LostMember, RepairReport } from '../engines/sqlite/check/repair-report.ts'
import { anyText } from '../option-kinds.ts'
import { option, refuse } from '../options.ts'
import { command } from './command.ts'
import { jsonOption, quietOption } from './connection.ts'
import { complain } from './explain.ts'
import { print, printLines, tableLines } from './output.ts'
import { startProgress } from './progress.ts'

export const repairCommand = command('repair', {
  summary: 'Save what can be read of a damaged data folder into a new one',
  notes:
    'DIR is only read; the server that uses it must be stopped. Each line says what became of a member (lost or uncertain), its collection, key ' +
    'and revision, and why. Uncertain members are saved, but may be older than the last version, or deleted. Exit code: 0 if everything was ' +
    'saved, 1 if something is lost or uncertain; the new folder is there in both cases.',
  operands: [{ name: 'DIR', help: 'the damaged data folder' }],
  options: {
    to: option<string | undefined>({
      ...anyText('NEW'),
      flag: 'to',
      default: undefined,
      help: 'the new data folder; missing or empty',
    }),
    json: jsonOption,
    quiet: quietOption,
  },
  async run({ to, json, quiet }, [dir = '']) {
    if (to === undefined || to === '') refuse('repair needs --to NEW: the new data folder')
    statSync(dir) // names the path where there is none
    const progress = await startProgress('repair', 1, quiet)
    let report: RepairReport
    try {
      report = await repairFolder(dir, to, {
        onProgress: (pages, total, members) => progress.update(Math.min(pages / total, 1), members),
      })
    } finally {
      progress.stop()
    }
    if (json) await print(`${JSON.stringify(repairJson(dir, to, report))}\n`)
    else await printLines(tableLines(rows(report), ['STATE', 'COLLECTION', 'KEY', 'REVISION', 'WHAT']))
    if (!quiet) for (const line of summary(dir, to, report)) complain(line)
    return isComplete(report) ? 0 : 1
  },
})

function isComplete({ lost, uncertain, leftOut, unnamed, lostRevisions }: RepairReport): boolean {
  return lost.length + uncertain.length + leftOut + unnamed.length + lostRevisions.length === 0
}

function rows({ lost, uncertain, unnamed, lostRevisions }: RepairReport): string[][] {
  const row = (state: string) => (member: LostMember) => [
    state,
    member.collection,
    member.key,
    `${member.revision}`,
    member.what,
  ]
  return [
    ...lost.map(row('lost')),
    ...uncertain.map(row('uncertain')),
    ...unnamed.map(({ collection, members }) => [
      'lost',
      collection,
      '-',
      '-',
      `${members} members of which no name can be read`,
    ]),
    ...lostRevisions.map(({ first, last }) => [
      'lost',
      '-',
      '-',
      first === last ? `${first}` : `${first} to ${last}`,
      'writes of the log: their members are as they were before',
    ]),
  ]
}

function repairJson(dir: string, to: string, report: RepairReport) {
  return {
    from: dir,
    to,
    is_complete: isComplete(report),
    members: report.members,
    tombstones: report.tombstones,
    revision: report.revision,
    lost: report.lost,
    uncertain: report.uncertain,
    left_out: report.leftOut,
    unnamed: report.unnamed,
    lost_revisions: report.lostRevisions,
    from_log: report.fromLog,
    notes: report.notes,
  }
}

function summary(dir: string, to: string, report: RepairReport): string[] {
  const { members, tombstones, lost, uncertain, leftOut, unnamed, lostRevisions, fromLog, notes } = report
  const saved = `saved ${members} members and ${tombstones} tombstones of ${dir} in ${to}`
  const restored = fromLog === 0 ? '' : `, ${fromLog} of them from the log`
  if (isComplete(report)) return [...notes, `${saved}${restored}: nothing is lost`]
  const nameless = unnamed.reduce((sum, one) => sum + one.members, 0)
  const writes = lostRevisions.reduce((sum, { first, last }) => sum + last - first + 1, 0)
  const more = leftOut === 0 ? '' : `, ${leftOut} more that are not listed`
  return [
    ...notes,
    `${saved}${restored}; lost: ${lost.length + nameless} members, ${writes} writes; uncertain: ${uncertain.length}${more}`,
  ]
}
