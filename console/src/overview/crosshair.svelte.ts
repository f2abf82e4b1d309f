/** The moment that is pointed at, in all charts at once; null for none. */
class Crosshair {
  atMs: number | null = $state(null)
}

export const crosshair = new Crosshair()
