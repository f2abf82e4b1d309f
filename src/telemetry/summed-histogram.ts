import client from 'prom-client'
import type { Histogram } from '../core/histogram.ts'

interface Sample {
  readonly labels: Record<string, string | number>
  readonly value: Histogram
}

/**
 * A histogram that exposes buckets counted elsewhere. prom-client's own must observe each value, which takes some 300
 * ns.
 */
export class SummedHistogram extends client.Histogram<string> {
  private readonly options: client.HistogramConfiguration<string>
  private readonly read: () => readonly Sample[]

  constructor(options: client.HistogramConfiguration<string>, read: () => readonly Sample[]) {
    super(options)
    this.options = options
    this.read = read
  }

  /** Returns the samples; called by the registry. */
  getForPromString() {
    const { name, help } = this.options
    const values = this.read().flatMap(({ labels, value }) => lines(name, labels, value))
    return { name, help, type: 'histogram', values }
  }
}

function lines(name: string, labels: Sample['labels'], { bounds, counts, sum }: Histogram) {
  let total = 0
  const buckets = [...bounds, '+Inf' as const].map((le, i) => {
    total += counts[i]!
    return { metricName: `${name}_bucket`, labels: { ...labels, le }, value: total }
  })
  return [
    ...buckets,
    { metricName: `${name}_sum`, labels, value: sum },
    { metricName: `${name}_count`, labels, value: total },
  ]
}
