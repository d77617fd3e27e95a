//! What is to be done with clients of other threads and processes, as JavaScript says it.

use std::sync::Arc;

use napi::bindgen_prelude::Buffer;
use napi_derive::napi;
use zocket::{Act, ClientId, border::codes::order};

/// Something that is to be done with clients.
#[napi(object, object_to_js = false)]
pub struct NativeAct {
    /// One of `order`.
    pub act: u32,
    /// The names of the rooms, as commands have them.
    pub rooms: Vec<Buffer>,
    /// The close code.
    pub code: u16,
    /// The reason in the close frame.
    pub reason: String,
}

impl NativeAct {
    pub(crate) fn into_act(self) -> Act {
        let rooms = self.rooms.iter().map(|name| Arc::from(&name[..])).collect();
        match self.act {
            order::JOIN => Act::Join(rooms),
            order::LEAVE => Act::Leave(rooms),
            _ => Act::Disconnect {
                code: self.code,
                reason: self.reason,
            },
        }
    }
}

/// The ids that texts are, as far as they are any.
pub(crate) fn ids(texts: Vec<String>) -> Vec<ClientId> {
    let ids = texts.into_iter().map(|text| ClientId::parse(&text));
    ids.flatten().collect()
}
