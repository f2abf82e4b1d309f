import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { checkArchive } from '../backup/check-archive.ts'
import { RefusedBackup } from '../backup/format.ts'
import { verifyBackup } from '../backup/read-backup.ts'
import { type CheckReport, checkFolder } from '../engines/sqlite/check/check-folder.ts'
import type { StoreFinding } from '../engines/sqlite/check/findings.ts'
import { command } from './command.ts'
import { jsonOption, quietOption } from './connection.ts'
import { complain } from './explain.ts'
import { print, printLines, tableLines } from './output.ts'
import { startProgress } from './progress.ts'

export const checkCommand = command('check', {
  summary: 'Check whether a data folder, a backup or an archive is whole, without changing it',
  notes:
    'Reads everything. Of a backup or an archive: the checksum of each part. Of a data folder: each page, each row and what the log has, and compares the tables with each other. The server that uses the folder ' +
    'must be stopped. Each line says where (a table or a file), collection, key and what is wrong; - stands for what does not apply. ' +
    'Exit code: 0 if it is whole, 1 if not. kvist repair saves what can be read of a damaged folder.',
  operands: [{ name: 'PATH', help: 'the data folder, the file of a backup, or the folder of an archive' }],
  options: { json: jsonOption, quiet: quietOption },
  async run({ json, quiet }, [path = '']) {
    const found = statSync(path) // names the path where there is none
    if (!found.isDirectory()) return checkBackup(path, found.size, json, quiet)
    const isArchive = existsSync(join(path, 'archive.json'))
    return isArchive ? checkArchiveFolder(path, json, quiet) : checkDataFolder(path, json, quiet)
  },
})

async function checkDataFolder(dir: string, json: boolean, quiet: boolean): Promise<number> {
  const progress = await startProgress('check', 1, quiet)
  let report: CheckReport
  try {
    report = await checkFolder(dir, {
      onProgress: (pages, total, members) => progress.update(Math.min(pages / total, 1), members),
    })
  } finally {
    progress.stop()
  }
  if (json) await print(`${JSON.stringify(checkJson(dir, report))}\n`)
  else await printLines(tableLines(report.findings.map(findingRow), findingHeadings))
  if (!quiet) for (const line of summary(dir, report)) complain(line)
  return report.isWhole ? 0 : 1
}

async function checkArchiveFolder(dir: string, json: boolean, quiet: boolean): Promise<number> {
  const progress = await startProgress('check', 1, quiet)
  try {
    const { findings, notes, parts, bases, revision } = await checkArchive(dir, (share) =>
      progress.update(share, 0),
    )
    const isWhole = findings.length === 0
    if (json)
      await print(
        `${JSON.stringify({ path: dir, is_whole: isWhole, revision, parts, bases, findings, notes })}\n`,
      )
    else await printLines(tableLines(findings.map(findingRow), findingHeadings))
    if (quiet) return isWhole ? 0 : 1
    for (const line of notes) complain(line)
    const holds = `an archive of ${bases} backups and ${parts} parts of the log, up to revision ${revision}`
    complain(`${dir} is ${isWhole ? 'whole' : 'damaged'}: ${holds}`)
    return isWhole ? 0 : 1
  } finally {
    progress.stop()
  }
}

async function checkBackup(file: string, bytes: number, json: boolean, quiet: boolean): Promise<number> {
  const progress = await startProgress('check', bytes, quiet)
  try {
    const { members, tombstones, revision, taken_at } = await verifyBackup(file, (read) =>
      progress.update(read, 0),
    )
    if (json)
      await print(
        `${JSON.stringify({ path: file, is_whole: true, revision, members, tombstones, taken_at, findings: [] })}\n`,
      )
    if (!quiet)
      complain(
        `${file} is whole: a backup of ${taken_at}, ${members} members, ${tombstones} tombstones, revision ${revision}`,
      )
    return 0
  } catch (error) {
    if (!(error instanceof RefusedBackup)) throw error
    const finding = { where: 'backup', what: error.message }
    if (json) await print(`${JSON.stringify({ path: file, is_whole: false, findings: [finding] })}\n`)
    else await printLines(tableLines([findingRow(finding)], findingHeadings))
    if (!quiet) complain(`${file} is damaged, or no backup`)
    return 1
  } finally {
    progress.stop()
  }
}

const findingHeadings = ['WHERE', 'COLLECTION', 'KEY', 'WHAT'] as const

function findingRow({ where, collection, key, what, revision, page }: StoreFinding): string[] {
  const at = page === undefined ? where : `${where} page ${page}`
  const more = key === undefined && revision !== undefined ? ` (revision ${revision})` : ''
  return [at, collection ?? '-', key ?? '-', `${what}${more}`]
}

function findingJson({ where, what, collection, key, revision, page }: StoreFinding) {
  return { where, what, collection, key, revision, page }
}

function checkJson(dir: string, report: CheckReport) {
  return {
    path: dir,
    is_whole: report.isWhole,
    store_id: report.storeId,
    format: report.format,
    revision: report.revision,
    members: report.members,
    tombstones: report.tombstones,
    bytes: report.valueBytes,
    log_records: report.logRecords,
    findings: report.findings.map(findingJson),
    findings_left_out: report.findingsLeftOut,
    notes: report.notes,
    bytes_read: report.bytesRead,
    elapsed_ms: Math.round(report.elapsedMs),
  }
}

function summary(dir: string, report: CheckReport): string[] {
  const { findings, findingsLeftOut, notes, members, tombstones, logRecords, bytesRead, elapsedMs } = report
  const seconds = Math.max(elapsedMs, 1) / 1000
  const read = `read ${megabytes(bytesRead)} in ${seconds.toFixed(1)} s, ${megabytes(bytesRead / seconds)}/s`
  const holds = `${members} members, ${tombstones} tombstones, ${logRecords} writes in the log; ${read}`
  if (report.isWhole) return [...notes, `${dir} is whole: ${holds}`]
  const count = findings.length + findingsLeftOut
  const more = findingsLeftOut === 0 ? '' : `, ${findingsLeftOut} of them not listed`
  return [
    ...notes,
    `${dir} is damaged: ${count} ${count === 1 ? 'finding' : 'findings'}${more}; ${holds}`,
    `put it back from a backup, or save what can be read with kvist repair ${dir} --to NEW`,
  ]
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(bytes < 1e8 ? 1 : 0)} MB`
}
