import type { Database } from '../core/database.ts'
import type { Durability, Write, Written } from '../core/engine.ts'
import type { Command } from './command.ts'

/** A write of a client, and who hears what became of it. */
export interface Order {
  readonly command: Command
  readonly write: Write
  readonly bytes: number
  readonly from: Orderer
}

export interface Orderer {
  /** Hears of its orders in the order in which it gave them. */
  written(order: Order, written: Written): void
  failed(order: Order, error: unknown): void
  /** Has heard of all that is known by now. */
  heard(): void
}

/** Sends the writes of all connections to the store. */
export interface Writer {
  add(order: Order): void
}

/** What goes to the store at once. */
const maxOrders = 1000
const maxBytes = 1024 * 1024

/**
 * Writes that come in within one turn of the event loop go to the store together, the first one at once: a commit for
 * each costs more than all else that is done for it. Together means all or none, which nobody can tell from the store
 * failing them one by one.
 */
export function startWriter(db: Database, durability: Durability): Writer {
  let waiting: Order[] = []
  let waitingBytes = 0
  let turnIsOpen = false

  function add(order: Order): void {
    waiting.push(order)
    waitingBytes += order.bytes
    if (!turnIsOpen) {
      turnIsOpen = true
      // Before the store is asked: it goes to disk in a later turn at the earliest, with what came in until then.
      setImmediate(endTurn)
      send()
    } else if (waiting.length >= maxOrders || waitingBytes >= maxBytes) {
      send()
    }
  }

  function endTurn(): void {
    turnIsOpen = false
    if (waiting.length > 0) send()
  }

  function send(): void {
    const orders = waiting
    waiting = []
    waitingBytes = 0
    db.write(
      orders.map(({ write }) => write),
      durability,
    ).then(
      (written) => tell(orders, (order, i) => order.from.written(order, written[i]!)),
      (error) => tell(orders, (order) => order.from.failed(order, error)),
    )
  }

  return { add }
}

/** A connection is told of all that it ordered in one go before the next is: it sends the answers in one piece. */
function tell(orders: readonly Order[], tellOne: (order: Order, index: number) => void): void {
  for (const [i, order] of orders.entries()) {
    tellOne(order, i)
    if (orders[i + 1]?.from !== order.from) order.from.heard()
  }
}
