import type { Config } from './config.ts'
import { handshakeTimeoutSeconds, maxHandshakes } from './core/limits.ts'
import type { SecondClock } from './net/connections.ts'
import type { TlsSettings } from './net/listener.ts'
import { onceAMinute } from './net/once-a-minute.ts'
import type { TlsIdentity } from './net/tls/identity.ts'
import { ReloadingTls } from './net/tls/reload.ts'
import type { Log } from './telemetry/log.ts'

/** TLS of a running server, for all its ports. */
export interface ServerTls extends TlsSettings {
  /** Stops watching the files. */
  stop(): void
}

interface Surroundings {
  readonly log: Log
  readonly clock: SecondClock
  readonly now: () => number
}

/** Reads the certificate of the configuration; undefined without one. Throws an error that names the file at fault. */
export function startTls(config: Config, { log, clock, now }: Surroundings): ServerTls | undefined {
  const { tlsCert: certPath, tlsKey: keyPath, tlsClientCa: clientCaPath } = config
  if (certPath === null || keyPath === null) return undefined
  const source = new ReloadingTls(
    { certPath, keyPath, clientCaPath },
    {
      onReload(identity) {
        log.info('the TLS certificate was read again', fieldsOf(identity))
        warnOfDates(identity, now(), log)
      },
      onError(error) {
        log.error(error)
        log.warn('the TLS certificate before stays in use, because the new one cannot be used')
      },
    },
  )
  log.info('TLS is on', fieldsOf(source.identity))
  warnOfDates(source.identity, now(), log)
  return {
    source,
    maxHandshakes,
    handshakeTimeoutSeconds,
    onFailure: onceAMinute(clock, ({ address, why }) =>
      log.warn(`a TLS handshake failed: ${why}`, { client: address }),
    ),
    stop: () => source.stop(),
  }
}

function fieldsOf({ names, validToMs }: TlsIdentity) {
  return { certificate: names, expires_at: new Date(validToMs).toISOString() }
}

function warnOfDates({ validFromMs, validToMs }: TlsIdentity, nowMs: number, log: Log): void {
  if (nowMs > validToMs) log.warn('the TLS certificate has expired: clients will refuse it')
  else if (nowMs < validFromMs) log.warn('the TLS certificate is not valid yet: clients will refuse it')
}
