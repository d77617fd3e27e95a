//! WebSocket engine: connections, rooms and fan-out on I/O threads of its own.
#![forbid(unsafe_code)]
