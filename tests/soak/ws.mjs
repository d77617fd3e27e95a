// Options of the clients of `ws`.

export const WS = {
  perMessageDeflate: false,
  // By default it gives up a closing handshake after 30 s of the clock, also if it was kept from running meanwhile.
  closeTimeout: 600_000,
};
