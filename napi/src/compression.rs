//! The option `compression`.

use napi::{
    ValueType,
    bindgen_prelude::{JsValue, Result},
};
use zocket::Compression;

use crate::{
    check::plain_object,
    fields::{Aliases, Fields},
    options::{Options, size},
};

/// The name of the option.
pub(crate) const NAME: &str = "compression";

/// Names of its options in other libraries.
const ALIASES: Aliases = &[
    ("windowbits", "maxWindowBits"),
    ("servermaxwindowbits", "maxWindowBits"),
    ("clientmaxwindowbits", "maxWindowBits"),
    ("compressionlevel", "level"),
    ("minsize", "threshold"),
];

/// Reads `true`, `false` or an object of options. `None` leaves messages as they are.
pub(crate) fn read(options: &Options<'_>) -> Result<Option<Compression>> {
    let Some(value) = options.get(NAME)? else {
        return Ok(None);
    };
    if value.get_type()? == ValueType::Boolean {
        let is_on = value.coerce_to_bool()?;
        return Ok(is_on.then(Compression::default));
    }
    let Some(object) = plain_object(value)? else {
        let expected = "true, false or an object { threshold, level, maxWindowBits }";
        return Err(options.wrong(NAME, expected, value));
    };
    let own = Options(Fields::new(
        options.0.env,
        object,
        "createServer",
        ": options.compression.",
        ALIASES,
    ));
    let mut compression = Compression::default();
    let bytes = "a whole number of bytes";
    if let Some(threshold) = own.whole("threshold", 0, u32::MAX.into(), bytes)? {
        compression.threshold = size(threshold);
    }
    let level = "a whole number from 1 to 9";
    if let Some(level) = own.whole("level", 1, 9, level)? {
        compression.level = u8::try_from(level).unwrap_or(9);
    }
    let bits = "a whole number of bits from 9 to 15";
    if let Some(bits) = own.whole("maxWindowBits", 9, 15, bits)? {
        compression.max_window_bits = u8::try_from(bits).unwrap_or(15);
    }
    own.0.refuse_others()?;
    Ok(Some(compression))
}
