// What the page knows: its rooms, who is in them, what was said, and which of its own messages are not through yet.
// No DOM and no sockets in here.
import type { Message, Person } from "../chat.ts";
import { ROOMS, type Room } from "../shared.ts";

/** How many messages of a room the page keeps. */
const KEPT = 500;

/** A message of our own that has not come back from the server. */
export interface Waiting {
  readonly key: string;
  readonly room: Room;
  readonly text: string;
  readonly at: number;
  /**
   * `queued`: written while the connection was gone, and in the client's queue. `handed`: given to an open connection.
   * `unsure`: that connection ended before the message came back, so it may or may not have arrived.
   */
  state: "queued" | "handed" | "unsure";
}

/** One room as this page sees it. */
export interface RoomView {
  joined: boolean;
  /** How many people are in it, as far as the server has said. */
  count: number;
  people: readonly Person[];
  readonly messages: Message[];
  unread: number;
}

const rooms = new Map<Room, RoomView>(
  ROOMS.map((room) => [room, { joined: false, count: 0, people: [], messages: [], unread: 0 }]),
);

export function roomView(room: Room): RoomView {
  const view = rooms.get(room);
  if (!view) throw new Error(`no such room: ${room}`);
  return view;
}

/** Our own messages that are not through, oldest first. */
export const waiting: Waiting[] = [];

/** Every client id this page has had: a new connection gets a new one, and old messages stay ours. */
const ownIds = new Set<string>();
export const addOwnId = (id: string): void => void ownIds.add(id);
export const isOwn = (from: Person): boolean => ownIds.has(from.id);

/** Takes a message in, once; returns whether it was new. What waited for it waits no longer. */
export function receive(message: Message): boolean {
  const index = waiting.findIndex((own) => own.key === message.key);
  if (index >= 0) waiting.splice(index, 1);
  const { messages } = roomView(message.room);
  if (messages.some((known) => known.key === message.key)) return false;
  messages.push(message);
  messages.sort((a, b) => a.at - b.at);
  if (messages.length > KEPT) messages.shift();
  return true;
}

/** The connection ended: what it was given last may be lost. */
export function connectionEnded(): void {
  for (const own of waiting) if (own.state === "handed") own.state = "unsure";
}

/** The client itself is replaced, and its queue with it. */
export function clientReplaced(): void {
  for (const own of waiting) own.state = "unsure";
}

/**
 * The message a `$error` is about. Messages of one client are handled in order, so it is the oldest one that the
 * server has; for a full queue it is the newest.
 */
export function takeRefused(which: "oldest" | "newest"): Waiting | undefined {
  const index =
    which === "newest" ? waiting.length - 1 : waiting.findIndex((own) => own.state === "handed");
  return index < 0 ? undefined : waiting.splice(index, 1)[0];
}

/** A key no other message has. `crypto.randomUUID` is missing on pages that are not served over https or localhost. */
export function newKey(): string {
  return [...crypto.getRandomValues(new Uint32Array(4))].map((n) => n.toString(36)).join("-");
}
