/** One line of a Dockerfile, its continuations joined. */
export interface Instruction {
  readonly name: string
  /** What begins with `--`, by name. */
  readonly flags: Readonly<Record<string, string>>
  readonly text: string
}

/** The stages of a Dockerfile, each beginning with its FROM. Here-documents and escapes are not understood. */
export function parseDockerfile(text: string): Instruction[][] {
  const lines = text
    .replace(/^\s*#.*\n/gm, '')
    .replace(/\\\n/g, ' ')
    .split('\n')
    .filter((line) => line.trim() !== '')
  const stages: Instruction[][] = []
  for (const line of lines) {
    const [, name = '', flags = '', rest = ''] = /^([A-Z]+)\s+((?:--\S+\s+)*)(.+)$/.exec(line) ?? []
    if (name === '') throw new Error(`not an instruction: ${line}`)
    const found = [...flags.matchAll(/--([\w-]+)=(\S+)/g)].map(([, flag = '', value = '']) => [flag, value])
    if (name === 'FROM') stages.push([])
    stages.at(-1)?.push({ name, flags: Object.fromEntries(found), text: rest.trim() })
  }
  return stages
}

/** Which paths of a checkout the patterns of a .dockerignore let through: the last that fits decides. */
export function notIgnored(paths: readonly string[], dockerignore: string): string[] {
  const rules = dockerignore
    .split('\n')
    .filter((line) => line.trim() !== '' && !line.startsWith('#'))
    .map((line) => ({
      keeps: line.startsWith('!'),
      // What fits a folder fits all that is in it.
      globs: [new Bun.Glob(line.replace(/^!/, '')), new Bun.Glob(`${line.replace(/^!/, '')}/**`)],
    }))
  return paths.filter((path) => {
    const last = rules.findLast(({ globs }) => globs.some((glob) => glob.match(path)))
    return last?.keeps ?? true
  })
}
