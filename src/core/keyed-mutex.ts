/** Runs a task once all tasks that were given one of its keys before it have ended. */
export type RunExclusive = <Result>(keys: readonly string[], task: () => Promise<Result>) => Promise<Result>

/**
 * Tasks that share a key run one after the other in the order in which they were given, others side by side. All keys
 * of a task are taken at once, so tasks cannot wait for each other in a circle. A task that fails does not hold up the
 * next, and a key costs nothing once its last task has ended.
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
