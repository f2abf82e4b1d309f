import { type FieldPath, readField } from './fields.ts'
import { maxOrderFields } from './limits.ts'
import { Reader } from './reader.ts'

/** The fields to sort by, the first one first. */
export type Order = readonly OrderField[]

export interface OrderField {
  readonly field: FieldPath
  readonly descending: boolean
}

/** Parses `-@.population,@.name`: fields with commas between them, `-` for descending. Throws `InvalidExpression`. */
export function parseOrder(text: string): Order {
  const reader = new Reader(text)
  const order: OrderField[] = []
  do {
    reader.skipBlanks()
    const descending = reader.takes('-')
    order.push({ field: readField(reader), descending })
    if (order.length > maxOrderFields) {
      reader.fail(`an order has at most ${maxOrderFields} fields`, reader.at, maxOrderFields)
    }
    reader.skipBlanks()
  } while (reader.takes(','))
  reader.expectEnd('"," or the end of the order')
  return order
}
