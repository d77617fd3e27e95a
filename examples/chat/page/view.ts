// The chat's elements and how they are drawn. Text only ever goes in through `textContent`, so nothing anybody writes
// can become markup.
import type { Message, Person } from "../chat.ts";
import { MESSAGE_LIMIT, NAME_LIMIT, ROOMS, type Room } from "../shared.ts";
import { isOwn, roomView, waiting, type Waiting } from "./talk.ts";

function byId<TElement extends HTMLElement>(id: string, kind: new () => TElement): TElement {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`the page has no #${id}`);
  return found;
}

const status = byId("status", HTMLElement);
const banner = byId("banner", HTMLElement);
const roomTitle = byId("room-title", HTMLElement);
const log = byId("log", HTMLElement);
const empty = byId("empty", HTMLElement);
const messageList = byId("messages", HTMLElement);
const peopleList = byId("people", HTMLElement);
const typingLine = byId("typing", HTMLElement);
const counter = byId("counter", HTMLElement);
const notice = byId("notice", HTMLElement);
const myName = byId("my-name", HTMLElement);

export const composer = byId("composer", HTMLFormElement);
export const text = byId("text", HTMLTextAreaElement);
export const rename = byId("rename", HTMLButtonElement);
export const nameDialog = byId("name-dialog", HTMLDialogElement);
export const nameForm = byId("name-form", HTMLFormElement);
export const nameInput = byId("name", HTMLInputElement);
nameInput.maxLength = NAME_LIMIT;

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });

function element(tag: string, className: string, content = ""): HTMLElement {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = content;
  return made;
}

/** A name in a colour of its own, so that people are told apart at a glance. */
function nameTag(tag: string, { name }: Person): HTMLElement {
  const made = element(tag, "name", name);
  let hash = 0;
  for (const character of name) hash = (hash * 31 + (character.codePointAt(0) ?? 0)) % 360;
  made.style.setProperty("--hue", String(hash));
  return made;
}

/** The buttons of the room list. Made once and changed in place, so that focus stays where it is. */
export function makeRooms(onSwitch: (room: Room) => void, onLeave: (room: Room) => void) {
  const rows = ROOMS.map((room) => {
    const row = document.createElement("li");
    const open = element("button", "room") as HTMLButtonElement;
    const count = element("span", "count");
    const unread = element("span", "unread");
    const leave = element("button", "quiet leave", "Leave") as HTMLButtonElement;
    open.type = leave.type = "button";
    open.append(element("span", "label", `#${room}`), unread, count);
    leave.setAttribute("aria-label", `Leave ${room}`);
    open.addEventListener("click", () => onSwitch(room));
    leave.addEventListener("click", () => {
      onLeave(room);
      // The button is about to disappear: focus must not be lost with it.
      open.focus();
    });
    row.append(open, leave);
    byId("rooms", HTMLElement).append(row);
    return { room, open, count, unread, leave };
  });

  return function drawRooms(current: Room): void {
    for (const { room, open, count, unread, leave } of rows) {
      const view = roomView(room);
      const people = view.count === 1 ? "1 person" : `${view.count} people`;
      open.classList.toggle("joined", view.joined);
      if (room === current) open.setAttribute("aria-current", "true");
      else open.removeAttribute("aria-current");
      count.textContent = view.joined ? String(view.count) : `${view.count} · join`;
      unread.textContent = view.unread > 0 ? `${Math.min(view.unread, 99)} new` : "";
      open.setAttribute(
        "aria-label",
        [
          view.joined ? room : `Join ${room}`,
          people,
          view.unread > 0 ? `${view.unread} unread` : "",
        ]
          .filter(Boolean)
          .join(", "),
      );
      leave.hidden = !view.joined;
    }
  };
}

export function drawPeople(room: Room): void {
  const people = [...roomView(room).people].sort((a, b) => a.name.localeCompare(b.name));
  peopleList.replaceChildren(
    ...people.map((person) => {
      const row = nameTag("li", person);
      if (isOwn(person)) row.append(element("span", "you", " (you)"));
      return row;
    }),
  );
}

function messageRow(message: Message): HTMLElement {
  const row = element("li", isOwn(message.from) ? "message own" : "message");
  row.dataset["key"] = message.key;
  const time = element("time", "time", clock.format(message.at)) as HTMLTimeElement;
  time.dateTime = new Date(message.at).toISOString();
  const head = element("p", "head");
  head.append(nameTag("span", message.from), time);
  row.append(head, element("p", "text", message.text));
  return row;
}

function waitingRow(own: Waiting): HTMLElement {
  const row = element("li", "message own waiting");
  const head = element("p", "head");
  // A message on its way is back within milliseconds; only one that has to wait says so.
  if (own.state !== "handed") head.append(element("span", "time", "waiting for the connection"));
  row.append(head, element("p", "text", own.text));
  return row;
}

/** Draws what is new in the room, or all of it after a switch; keeps the end in sight for who is reading there. */
export function drawMessages(room: Room, all: "all" | "new"): void {
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 80;
  const { messages, joined } = roomView(room);
  if (all === "all") messageList.replaceChildren();
  for (const row of messageList.querySelectorAll(".waiting")) row.remove();

  // Rows are kept and only added to, so that a screen reader announces a message once.
  const drawn = new Map(
    [...messageList.children].map((row) => [(row as HTMLElement).dataset["key"], row]),
  );
  messages.forEach((message, index) => {
    if (drawn.has(message.key)) return;
    messageList.insertBefore(messageRow(message), messageList.children[index] ?? null);
  });
  const own = waiting.filter((message) => message.room === room);
  messageList.append(...own.map(waitingRow));

  empty.hidden = messages.length + own.length > 0;
  empty.textContent = joined
    ? "Nobody has said anything here yet."
    : "You are in no room. Choose one to join it.";
  if (all === "all" || atEnd) log.scrollTop = log.scrollHeight;
}

export function drawRoom(room: Room): void {
  roomTitle.textContent = `#${room}`;
  drawPeople(room);
  drawMessages(room, "all");
  const { joined } = roomView(room);
  composer.classList.toggle("closed", !joined);
  for (const field of [text, ...composer.querySelectorAll("button")]) field.disabled = !joined;
}

export function drawTyping(names: readonly string[]): void {
  const [first, second] = names;
  typingLine.textContent =
    first === undefined
      ? ""
      : second === undefined
        ? `${first} is typing…`
        : names.length === 2
          ? `${first} and ${second} are typing…`
          : "Several people are typing…";
}

/** How much room the message has left; only shown when it gets tight. */
export function drawCounter(): void {
  const left = MESSAGE_LIMIT - text.value.trim().length;
  counter.textContent = left > 80 ? "" : left < 0 ? `${-left} too many` : `${left} left`;
  counter.classList.toggle("over", left < 0);
  text.style.height = "auto";
  text.style.height = `${text.scrollHeight + 2}px`;
}

export function drawNotice(message: string): void {
  notice.textContent = message;
}

export function drawName(name: string): void {
  myName.textContent = name;
}

const STATUS = { connecting: "Connecting…", open: "Connected", dropped: "Reconnecting…" };

export function drawStatus(state: keyof typeof STATUS): void {
  status.dataset["state"] = state;
  status.textContent = STATUS[state];
  banner.hidden = state !== "dropped";
  banner.textContent =
    state === "dropped"
      ? "The connection is gone and is coming back by itself. What you write meanwhile waits, and goes out then."
      : "";
}
