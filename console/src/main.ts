import './styles.css'
import { mount } from 'svelte'
import App from './App.svelte'

const target = document.querySelector('#console')!
// The header of index.html is painted before this program has arrived.
target.replaceChildren()
mount(App, { target })
