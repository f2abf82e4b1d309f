/** Runs a task after all earlier tasks that share a key with it have ended. */
export type RunExclusive = <Result>(keys: readonly string[], task: () => Promise<Result>) => Promise<Result>

/**
 * Returns a keyed mutex: tasks that share a key run one after the other, in the order in which they were added; others
 * run concurrently. A task acquires all its keys at once, so tasks cannot deadlock. A failed task does not block the
 * next, and a key takes no memory once its last task has ended.
 */
export function keyedMutex(): RunExclusive {
  const last = new Map<string, Promise<unknown>>()

  /** As for several keys, without lists: most tasks have one. */
  function runOne<Result>(key: string, task: () => Promise<Result>): Promise<Result> {
    const earlier = last.get(key)
    const running = earlier === undefined ? task() : earlier.then(task, task)
    last.set(key, running)
    const release = () => {
      if (last.get(key) === running) last.delete(key)
    }
    running.then(release, release)
    return running
  }

  return (keys, task) => {
    if (keys.length === 1) return runOne(keys[0]!, task)
    const earlier = keys.map((key) => last.get(key)).filter((one) => one !== undefined)
    const running = earlier.length === 0 ? task() : Promise.allSettled(earlier).then(task)
    for (const key of keys) last.set(key, running)
    const release = () => {
      for (const key of keys) if (last.get(key) === running) last.delete(key)
    }
    running.then(release, release)
    return running
  }
}
