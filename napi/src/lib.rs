//! Node.js binding of the [`zocket`] engine: converts and forwards, nothing else.
