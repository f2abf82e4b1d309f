/** Runs a task after those that came before it under the same name; tasks of different names run side by side. */
export type RunInLane = <Result>(name: string, task: () => Promise<Result>) => Promise<Result>

/** A name costs nothing once its last task has ended. A task that fails does not hold up the next. */
export function taskLanes(): RunInLane {
  const lasts = new Map<string, Promise<unknown>>()
  return (name, task) => {
    const before = lasts.get(name)
    const running = before === undefined ? task() : before.then(task, task)
    lasts.set(name, running)
    const leave = () => {
      if (lasts.get(name) === running) lasts.delete(name)
    }
    running.then(leave, leave)
    return running
  }
}
