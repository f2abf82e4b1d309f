import { dlopen, type FFIFunction } from 'bun:ffi'

/** The C libraries of glibc, of musl and of macOS. */
const names = ['libc.so.6', `libc.musl-${process.arch === 'x64' ? 'x86_64' : 'aarch64'}.so.1`, 'libc.dylib']

/** Functions of the system's C library; null where there is none that is known here, or none with all of them. */
export function systemLibrary<Fns extends Record<string, FFIFunction>>(functions: Fns) {
  for (const name of names) {
    try {
      return dlopen(name, functions).symbols
    } catch {
      // Another system's.
    }
  }
  return null
}
