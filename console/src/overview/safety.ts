import { type Scrape, singleValue, sumOf } from './prometheus.ts'

/** Backups and the archive of a server, as far as it has them. */
export interface Safety {
  readonly backups: {
    readonly folder: string
    /** Null for never. */
    readonly lastSuccessMs: number | null
    readonly lastBytes: number
    readonly failures: number
  } | null
  readonly archive: {
    readonly revision: number
    readonly lagSeconds: number
    readonly waitingBytes: number
    readonly isFailing: boolean
    readonly droppedRevisions: number
  } | null
}

export function safetyOf(scrape: Scrape): Safety {
  return { backups: backupsOf(scrape), archive: archiveOf(scrape) }
}

function backupsOf(scrape: Scrape): Safety['backups'] {
  const last = scrape.get('kvist_backup_last_success_timestamp_seconds')?.[0]
  if (last === undefined) return null
  return {
    folder: last.labels.folder ?? '',
    lastSuccessMs: last.value > 0 ? last.value * 1000 : null,
    lastBytes: singleValue(scrape, 'kvist_backup_last_bytes') ?? 0,
    failures: sumOf(scrape, 'kvist_backups_total', ({ outcome }) => outcome === 'failure'),
  }
}

/** A server without an archive has the metrics as well, all of them 0. */
function archiveOf(scrape: Scrape): Safety['archive'] {
  const number = (name: string) => singleValue(scrape, `kvist_archive_${name}`) ?? 0
  const archive = {
    revision: number('revision'),
    lagSeconds: number('lag_seconds'),
    waitingBytes: number('waiting_bytes'),
    isFailing: number('failing') > 0,
    droppedRevisions: number('dropped_revisions_total'),
  }
  const isThere = archive.revision > 0 || archive.isFailing || number('failures_total') > 0
  return isThere ? archive : null
}
