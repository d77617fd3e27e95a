// What the chat's server and its page both need to know at run time. Everything else the page learns from types.

/** The rooms there are; nobody can add one, so that a stranger cannot fill the server's memory. */
export const ROOMS = ["lobby", "help", "music", "random"] as const;
export type Room = (typeof ROOMS)[number];

/** Longest name, in characters. */
export const NAME_LIMIT = 24;
/** Longest message, in characters. */
export const MESSAGE_LIMIT = 500;
