//! Shrinks lists and maps after a peak, so that their memory comes back.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash},
};

/// Places that are always kept, because fewer would save too little.
const KEPT: usize = 64;
/// Places that are kept for each item, so that memory is moved only after many items have come or gone.
const SPARE: usize = 8;

/// Shrinks a list that had many more items. Call it after a removal.
pub(crate) fn shrink_list<T>(list: &mut Vec<T>) {
    if list.capacity() > KEPT && list.len() < list.capacity() / SPARE {
        list.shrink_to(2 * list.len());
    }
}

/// Shrinks a map that had many more entries. Call it after a removal.
pub(crate) fn shrink_map<K: Eq + Hash, V, S: BuildHasher>(map: &mut HashMap<K, V, S>) {
    // Its size is a power of two, and it does nothing if this is not a smaller one. It knows; `capacity` does not, as it leaves
    // out the places of what was removed.
    map.shrink_to((SPARE * map.len()).max(KEPT));
}

#[cfg(test)]
mod tests;
