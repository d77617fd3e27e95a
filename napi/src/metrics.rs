//! The counters as one object, whatever they are.

use napi::{
    Env,
    bindgen_prelude::{JsValue, Object, Result, Unknown},
};
use zocket::{Count, Snapshot};

use crate::object::plain;

/// An object of numbers, and of objects of the numbers that are not 0.
pub(crate) fn object<'env>(env: &'env Env, metrics: &Snapshot) -> Result<Object<'env>> {
    let mut fields = Vec::new();
    for (name, count) in metrics.named() {
        let value = match count {
            Count::One(count) => double(env, count)?,
            Count::Each(counts) => {
                let counted = counts.into_iter().filter(|(_, count)| *count > 0);
                let fields = counted
                    .map(|(name, count)| Ok((name, double(env, count)?)))
                    .collect::<Result<Vec<_>>>()?;
                plain(env, &fields)?.to_unknown()
            }
        };
        fields.push((camel_case(name), value));
    }
    let fields: Vec<_> = (fields.iter())
        .map(|(name, value)| (name.as_str(), *value))
        .collect();
    plain(env, &fields)
}

fn double(env: &Env, count: u64) -> Result<Unknown<'_>> {
    Ok(env.create_double(number(count))?.to_unknown())
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counters stay exact in a double up to 2^53"
)]
pub(crate) fn number(count: u64) -> f64 {
    count as f64
}

/// `bytesIn` for `bytes_in`.
fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |mut all, word| {
        let (head, rest) = word.split_at(word.len().min(1));
        all.push_str(&head.to_ascii_uppercase());
        all.push_str(rest);
        all
    })
}
