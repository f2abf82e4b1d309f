import type { Socket } from './socket.ts'

/** Pauses and resumes reading from a socket. While paused, the client has to wait. */
export class InputPause {
  private readonly socket: Pick<Socket, 'pause' | 'resume'>
  private isPaused = false

  constructor(socket: Pick<Socket, 'pause' | 'resume'>) {
    this.socket = socket
  }

  setPaused(isPaused: boolean): void {
    if (isPaused === this.isPaused) return
    this.isPaused = isPaused
    if (isPaused) this.socket.pause()
    else this.socket.resume()
  }
}
