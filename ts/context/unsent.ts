// Finds messages that nobody sent: `ctx.send.chat.onMessage(payload)` without `to`, `toRoom` or `broadcast` does nothing. Only in
// development. The garbage collector tells when a message can no longer be sent.
import { ClientFault } from "../faults/report.js";
import type { FluentSender } from "../types/context.js";

/** The most messages of one route that are watched at once. */
const MOST = 64;
/** So many messages of a route are watched one after the other. Of those that follow, one of {@link RARELY} is watched. */
const FIRST = 1_024;
const RARELY = 256;

/** What is known of the messages of one route. */
class Watch {
  /** How many messages pass before the next one is watched. */
  passing = 0;
  /** Messages that are watched now, and that were watched at all. */
  atOnce = 0;
  count = 0;
  isTold = false;

  constructor(
    /** The name of the route's messages in errors. */
    readonly place: string,
    readonly route: string,
  ) {}
}

/** Told of a message that nobody sent, once for each route. */
export type TellUnsent = (error: ClientFault, route: string) => void;

/** Watches the messages of one server. It holds none of them. */
export class UnsentWatch {
  readonly #registry: FinalizationRegistry<Sent>;

  constructor(tell: TellUnsent) {
    this.#registry = new FinalizationRegistry((sent) => {
      const { watch } = sent;
      watch.atOnce -= 1;
      if (sent.isSent || watch.isTold) return;
      watch.isTold = true;
      tell(new ClientFault(textOf(watch)), watch.route);
    });
  }

  /** What watches the messages of one route. It returns the message, or one in its place that can be watched. */
  of(place: string, route: string): (message: FluentSender) => FluentSender {
    const watch = new Watch(place, route);
    return (message) => {
      if (watch.passing > 0) {
        watch.passing -= 1;
        return message;
      }
      if (watch.isTold || watch.atOnce === MOST) return message;
      watch.atOnce += 1;
      watch.count += 1;
      if (watch.count >= FIRST) watch.passing = RARELY - 1;
      const sent = new Sent(watch);
      const watched = new Watched(message, sent);
      this.#registry.register(watched, sent);
      return watched;
    };
  }
}

/** Whether one message was sent. */
class Sent {
  isSent = false;

  constructor(readonly watch: Watch) {}
}

/** A message that is watched. Who reads one of its methods is about to send it. */
class Watched implements FluentSender {
  readonly #message: FluentSender;
  readonly #sent: Sent;

  constructor(message: FluentSender, sent: Sent) {
    this.#message = message;
    this.#sent = sent;
  }

  get to(): FluentSender["to"] {
    this.#sent.isSent = true;
    return this.#message.to;
  }

  get toRoom(): FluentSender["toRoom"] {
    this.#sent.isSent = true;
    return this.#message.toRoom;
  }

  get broadcast(): FluentSender["broadcast"] {
    this.#sent.isSent = true;
    return this.#message.broadcast;
  }
}

function textOf({ place }: Watch): string {
  return `${place} was not sent to anybody; call to, toRoom or broadcast of what it returns`;
}
