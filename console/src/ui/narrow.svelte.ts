import { MediaQuery } from 'svelte/reactivity'

/** Whether the screen has room for one pane alone; the styles of the shell have the same width. Reactive: `current`. */
export const narrow = new MediaQuery('(max-width: 720px)')
