//! Where a server gets its connections from, and which options cannot stand beside each other.

use std::path::PathBuf;

use napi::bindgen_prelude::Result;
use zocket::{Listen, config::MAX_SOCKET_PATH};

use crate::{check::type_error, options::Options};

/// Options that say where to listen. `tls` is among them, as whoever listens speaks it.
const OF_SERVER: &[&str] = &[
    "noServer",
    "port",
    "hostname",
    "socketPath",
    "tls",
    "reusePort",
];

/// Reads the options that say it. `port`, `hostname` and `path` are read elsewhere.
pub(crate) fn listen(options: &Options<'_>) -> Result<Listen> {
    let has_server = options.get("server")?.is_some();
    let is_alone = options.flag("noServer")?.unwrap_or(false);
    let path = if cfg!(target_os = "linux") {
        "a path of at most 107 bytes"
    } else {
        "a path of at most 103 bytes"
    };
    let socket_path = options.text("socketPath", path, |it| {
        (1..=MAX_SOCKET_PATH).contains(&it.len()) && !it.contains('\0')
    })?;
    let is_shared = options.flag("reusePort")?.unwrap_or(false);
    if has_server {
        exclude(options, "server", OF_SERVER)?;
        if options.get("path")?.is_none() {
            let place = options.place("path");
            let message = format!("{place}: expected a path beside options.server, got undefined");
            return Err(type_error(options.env(), &message));
        }
        return Ok(Listen::Nowhere);
    }
    if is_alone {
        exclude(options, "noServer", &OF_SERVER[1..])?;
        return Ok(Listen::Nowhere);
    }
    Ok(match socket_path {
        Some(path) => {
            exclude(options, "socketPath", &["port", "hostname", "reusePort"])?;
            Listen::Path(PathBuf::from(path))
        }
        None if is_shared => Listen::SharedPort,
        None => Listen::Port,
    })
}

/// Refuses those of `others` that are given beside an option.
fn exclude(options: &Options<'_>, name: &str, others: &[&str]) -> Result<()> {
    for other in others {
        if options.is_given(other)? {
            let place = options.place(other);
            let message = format!("{place}: cannot be combined with options.{name}");
            return Err(type_error(options.env(), &message));
        }
    }
    Ok(())
}
