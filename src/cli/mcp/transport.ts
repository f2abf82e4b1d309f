import type { Transport } from '@modelcontextprotocol/server'
import { StdioServerTransport } from '@modelcontextprotocol/server/stdio'
import type { ResourceSubscriptions } from './subscriptions.ts'

type Message = Parameters<NonNullable<Transport['onmessage']>>[0]

/**
 * Standard input and output, with a look at requests of `subscriptions/listen`. Revision 2026-07-28 of the protocol has those in
 * place of `resources/subscribe`, and the SDK answers them itself: it does not say which resources they are for.
 */
export function stdioTransport(subscriptions: ResourceSubscriptions): {
  transport: Transport
  closed: Promise<void>
} {
  const wire = new StdioServerTransport()
  const { promise: closed, resolve } = Promise.withResolvers<void>()
  const transport: Transport = {
    async start() {
      wire.onmessage = (message) => {
        const deliver = () => transport.onmessage?.(message)
        const cancelled = cancelledId(message)
        if (cancelled !== null) subscriptions.remove(cancelled)
        const uris = listenedUris(message)
        if (uris === null || !('id' in message)) return deliver()
        // Passed on when the feed is followed, so that no change after the acknowledgement is missed.
        subscriptions.add(subscriptionId(message.id), uris).then(deliver, deliver)
      }
      wire.onerror = (error) => transport.onerror?.(error)
      wire.onclose = () => {
        transport.onclose?.()
        resolve()
      }
      await wire.start()
    },
    send: (message) => wire.send(message),
    close: () => wire.close(),
  }
  return { transport, closed }
}

/** Returns the resources that a message subscribes to; null if it is none of these. */
function listenedUris(message: Message): readonly string[] | null {
  if (!('method' in message) || message.method !== 'subscriptions/listen') return null
  const { notifications }: { notifications?: unknown } = Object(message.params)
  const { resourceSubscriptions }: { resourceSubscriptions?: unknown } = Object(notifications)
  const isList = Array.isArray(resourceSubscriptions)
  return isList ? resourceSubscriptions.filter((uri) => typeof uri === 'string') : []
}

/** Returns the subscription that a message may end. */
function cancelledId(message: Message): string | null {
  if (!('method' in message) || message.method !== 'notifications/cancelled') return null
  return subscriptionId(Object(message.params).requestId)
}

function subscriptionId(requestId: unknown): string {
  return `listen ${JSON.stringify(requestId)}`
}
