// Knows which messages are still in a socket, so that the client can tell which ones are lost when it ends. It knows nothing of those
// that the system has taken.

/** The messages of one socket that it may not have passed on yet, oldest first. */
export class Unsent {
  #messages: { readonly route: string; readonly bytes: number }[] = [];
  #bytes = 0;

  /** A message follows into a socket that holds so many bytes; `route` is empty for our own ones. */
  add(route: string, bytes: number, buffered: number): void {
    let gone = 0;
    for (const message of this.#messages) {
      if (this.#bytes - message.bytes < buffered) break;
      this.#bytes -= message.bytes;
      gone += 1;
    }
    if (gone > 0) this.#messages.splice(0, gone);
    this.#messages.push({ route, bytes });
    this.#bytes += bytes;
  }

  /** The routes of the messages that are in a socket which holds so many bytes. */
  routes(buffered: number): string[] {
    const routes: string[] = [];
    let left = buffered;
    for (const { route, bytes } of this.#messages.reverse()) {
      if (left <= 0) break;
      left -= bytes;
      if (route !== "") routes.unshift(route);
    }
    return routes;
  }
}
