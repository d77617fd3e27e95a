//! Node.js binding of the [`zocket`] engine: converts and forwards, nothing else.

mod check;
mod create;
mod message;
mod object;
mod route;
mod router;
