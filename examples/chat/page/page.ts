// The chat's page: a client typed by the server's router, in plain TypeScript. It shows names as `headers`, typed `send`
// and `on`, the connection's states, messages that wait while it is gone, and what a `$error` says.
// Start it with `npm start`; build.mjs bundles it.
import { createZocketClient, type ZocketClient } from "@zocket/core/client";

import type { AppRouter } from "../chat.ts";
import { NAME_LIMIT, ROOMS, type Room } from "../shared.ts";
import * as talk from "./talk.ts";
import * as view from "./view.ts";

/** At most one typing message in this time, in ms, and how long one is believed. */
const TYPING_EVERY = 2_000;
const TYPING_LASTS = 4_000;

const port = document.querySelector<HTMLMetaElement>('meta[name="sockets-port"]')?.content;
const url = `${location.protocol === "https:" ? "wss" : "ws"}://${location.hostname}:${port}`;

let client: ZocketClient<AppRouter> | undefined;
let isOpen = false;
let current: Room = ROOMS[0];
talk.roomView(current).joined = true;

/** Connects under a name. A name is part of the handshake, so that another name takes another client. */
function connect(name: string): ZocketClient<AppRouter> {
  view.drawName(name);
  view.drawStatus("connecting");
  const chat = createZocketClient<AppRouter>(url, {
    headers: { name },
    minReconnectionDelay: 500,
    maxReconnectionDelay: 5_000,
  });

  chat.onOpen(() => {
    isOpen = true;
    view.drawStatus("open");
    // The server knows each connection anew, so the rooms are joined again at each.
    for (const room of ROOMS) if (talk.roomView(room).joined) chat.send.chat.join({ room });
    for (const own of talk.waiting) {
      if (own.state === "unsure")
        chat.send.chat.say({ room: own.room, key: own.key, text: own.text });
      own.state = "handed";
    }
    view.drawMessages(current, "new");
  });
  chat.onClose(() => {
    if (chat !== client) return;
    isOpen = false;
    talk.connectionEnded();
    clearTyping();
    view.drawStatus("dropped");
    view.drawMessages(current, "new");
  });

  chat.on.chat.onJoined(({ room, you, messages }) => {
    talk.addOwnId(you);
    messages.forEach(talk.receive);
    if (room === current) view.drawRoom(room);
  });
  chat.on.chat.onMessage((message) => {
    stopTyping(message.from.id);
    const { room } = message;
    if (talk.receive(message) && room !== current) talk.roomView(room).unread += 1;
    if (room === current) view.drawMessages(room, "new");
    drawRooms(current);
  });
  chat.on.chat.onPeople(({ room, people }) => {
    talk.roomView(room).people = people;
    if (room === current) view.drawPeople(room);
  });
  chat.on.chat.onRooms((counts) => {
    for (const { room, people } of counts) talk.roomView(room).count = people;
    drawRooms(current);
  });
  chat.on.chat.onTyping(({ room, from }) => {
    if (room === current && !talk.isOwn(from)) startTyping(from);
  });

  // What the server refused, and what the client could not keep.
  chat.onError(({ code, route, message, issues }) => {
    const refused =
      code === "QUEUE_FULL"
        ? talk.takeRefused("newest")
        : route === "chat.say"
          ? talk.takeRefused("oldest")
          : undefined;
    const reason = issues?.[0]?.message ?? message;
    view.drawNotice(refused ? `Not sent: ${reason}` : reason);
    if (refused && view.text.value === "") {
      view.text.value = refused.text;
      view.drawCounter();
    }
    view.drawMessages(current, "new");
  });
  return chat;
}

// Rooms

const drawRooms = view.makeRooms(switchTo, leave);

function switchTo(room: Room): void {
  current = room;
  const there = talk.roomView(room);
  there.unread = 0;
  if (!there.joined) {
    there.joined = true;
    // While the connection is gone nothing needs to be sent: all joined rooms are joined again when it is back.
    if (isOpen) client?.send.chat.join({ room });
  }
  clearTyping();
  view.drawNotice("");
  view.drawRoom(room);
  drawRooms(room);
}

function leave(room: Room): void {
  const left = talk.roomView(room);
  left.joined = false;
  left.people = [];
  left.unread = 0;
  left.messages.length = 0;
  if (isOpen) client?.send.chat.leave({ room });
  const other = ROOMS.find((name) => talk.roomView(name).joined);
  if (room !== current) drawRooms(current);
  else if (other) switchTo(other);
  else {
    view.drawRoom(room);
    drawRooms(room);
  }
}

// Writing

view.composer.addEventListener("submit", (event) => {
  event.preventDefault();
  const text = view.text.value.trim();
  if (text === "" || !client) return;
  view.drawNotice("");
  const own: talk.Waiting = {
    key: talk.newKey(),
    room: current,
    text,
    at: Date.now(),
    state: isOpen ? "handed" : "queued",
  };
  talk.waiting.push(own);
  view.text.value = "";
  view.drawCounter();
  // The schema on the server decides what is too long, and its answer is shown; the page does not second-guess it.
  client.send.chat.say({ room: own.room, key: own.key, text });
  view.drawMessages(current, "new");
  lastTyping = 0;
});

view.text.addEventListener("keydown", (event) => {
  // While an input method composes a character, Enter belongs to it.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  view.composer.requestSubmit();
});

let lastTyping = 0;
view.text.addEventListener("input", () => {
  view.drawCounter();
  if (!isOpen || view.text.value === "" || Date.now() - lastTyping < TYPING_EVERY) return;
  lastTyping = Date.now();
  client?.send.chat.typing({ room: current });
});

// Who is typing

const typing = new Map<string, { name: string; timer: ReturnType<typeof setTimeout> }>();
const drawTyping = () => view.drawTyping([...typing.values()].map(({ name }) => name));

function startTyping({ id, name }: { id: string; name: string }): void {
  clearTimeout(typing.get(id)?.timer);
  typing.set(id, { name, timer: setTimeout(() => stopTyping(id), TYPING_LASTS) });
  drawTyping();
}

function stopTyping(id: string): void {
  clearTimeout(typing.get(id)?.timer);
  if (typing.delete(id)) drawTyping();
}

function clearTyping(): void {
  for (const id of typing.keys()) stopTyping(id);
}

// The name

/** Storage can be switched off in a browser; the chat works without it. */
const stored = {
  get name(): string {
    try {
      return localStorage.getItem("name")?.slice(0, NAME_LIMIT) ?? "";
    } catch {
      return "";
    }
  },
  set name(name: string) {
    try {
      localStorage.setItem("name", name);
    } catch {}
  },
};

function startAs(name: string): void {
  const previous = client;
  // Cleared first, so that the end of the old connection is not taken for a drop.
  client = undefined;
  isOpen = false;
  previous?.close();
  talk.clientReplaced();
  stored.name = name;
  client = connect(name);
}

view.rename.addEventListener("click", () => {
  view.nameInput.value = stored.name;
  view.nameDialog.showModal();
});
// Escape must not leave somebody without a name in front of a dead page.
view.nameDialog.addEventListener("close", () => {
  if (!client) view.nameDialog.showModal();
});
view.nameForm.addEventListener("submit", (event) => {
  const name = view.nameInput.value.trim();
  if (name === "") {
    event.preventDefault();
    view.nameInput.value = "";
    view.nameInput.reportValidity();
    return;
  }
  startAs(name);
  view.text.focus();
});

drawRooms(current);
view.drawRoom(current);
view.drawCounter();
const known = stored.name;
if (known !== "") startAs(known);
else view.nameDialog.showModal();
