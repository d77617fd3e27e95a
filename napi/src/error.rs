//! Turns engine errors into JavaScript errors. A failure of the system becomes an `Error` with the code that Node uses.

use std::{error::Error as _, io};

use napi::{Env, Error, Status};

use crate::check::type_error;

/// Throws the error of a server that could not start.
pub(crate) fn throw(env: Env, error: &zocket::Error) -> Error {
    let mut message = format!("createServer: {error}");
    if let Some(source) = error.source() {
        message = format!("{message}: {source}");
    }
    let code = match error {
        zocket::Error::Config { .. } => return type_error(env, &message),
        zocket::Error::Resolve { .. } => "ENOTFOUND",
        zocket::Error::Bind { source, .. } | zocket::Error::BindPath { source, .. } => {
            bind_code(source)
        }
        _ => "EAGAIN",
    };
    throw_code(env, message, code)
}

/// Throws an `Error` with a code.
pub(crate) fn throw_code(env: Env, message: String, code: &str) -> Error {
    match env.throw_error(&message.replace('\0', "\\0"), Some(code)) {
        Ok(()) => Error::new(Status::PendingException, message),
        Err(error) => error,
    }
}

fn bind_code(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "EADDRINUSE",
        io::ErrorKind::AddrNotAvailable => "EADDRNOTAVAIL",
        io::ErrorKind::PermissionDenied => "EACCES",
        io::ErrorKind::NotFound => "ENOENT",
        io::ErrorKind::Unsupported => "ENOTSUP",
        _ => "ELISTEN",
    }
}
