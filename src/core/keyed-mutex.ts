/** Runs a task after all earlier tasks that share a key with it have ended. */
export type RunExclusive = <Result>(keys: readonly string[], task: () => Promise<Result>) => Promise<Result>

/**
 * Returns a keyed mutex: tasks that share a key run one after the other, in the order in which they were added; others
 * run concurrently. A task acquires all its keys at once, so tasks cannot deadlock. A failed task does not block the
 * next, and a key takes no memory once its last task has ended.
 */
export function keyedMutex(): RunExclusive {
  const last = new Map<string, Promise<unknown>>()
  return (keys, task) => {
    const earlier = keys.map((key) => last.get(key)).filter((one) => one !== undefined)
    const running = earlier.length === 0 ? task() : allSettled(earlier).then(task, task)
    for (const key of keys) last.set(key, running)
    const release = () => {
      for (const key of keys) if (last.get(key) === running) last.delete(key)
    }
    running.then(release, release)
    return running
  }
}

function allSettled(tasks: readonly Promise<unknown>[]): Promise<unknown> {
  return tasks.length === 1 ? tasks[0]! : Promise.allSettled(tasks)
}
