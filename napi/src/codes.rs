//! The numbers of the border, as the engine has them: one object for each group.
#![expect(
    unreachable_pub,
    clippy::cast_possible_wrap,
    reason = "the macro wants its constants public; all of them are small"
)]

use napi_derive::napi;
use zocket::{border_codes, message::error::BadCode};

macro_rules! exported {
    ($($(#[$about:meta])* $group:ident: $type:ty { $($(#[$doc:meta])* $name:ident = $value:expr,)* })*) => {
        $(
            #[napi]
            pub(crate) mod $group {
                $(
                    #[napi]
                    pub const $name: i64 = zocket::border::codes::$group::$name as i64;
                )*
            }
        )*
    };
}

border_codes!(exported);

/// What the sender of a message is told that is refused for this reason.
#[napi(catch_unwind)]
pub fn bad_text(code: u32) -> &'static str {
    BadCode::from_index(code).map_or("", BadCode::text)
}
