const countries = ['AT', 'CH', 'DE', 'DK', 'FI', 'NO', 'SE']

/** The members of the benchmarks of indexes: JSON of some 90 bytes, with a field of few values and others of many. */
export function cityOf(i: number): string {
  const country = countries[(i * 7919) % countries.length]
  return `{"name":"city ${i}","country":"${country}","population":${(i * 104_729) % 10_000_000},"lat":${i % 90}.5,"lon":${i % 180}.25}`
}

export function countryOf(i: number): string {
  return countries[i % countries.length]!
}
