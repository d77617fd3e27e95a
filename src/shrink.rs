//! Memory of lists and maps that comes back after a peak.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash},
};

/// Places that are always kept: fewer are not worth it.
const KEPT: usize = 64;
/// Places that are kept for each item: so much has to come or go before memory is moved again.
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
mod tests {
    use super::*;

    #[test]
    fn what_had_many_more_items_lets_go_of_their_memory() {
        // As many as fill a map to its limit: few of their places can be used again at once.
        let most = 7 << 11;
        let mut list: Vec<u32> = (0..most).collect();
        let mut map: HashMap<u32, u32> = list.iter().map(|&n| (n, n)).collect();
        for n in (0..most).rev() {
            list.pop();
            map.remove(&n);
            shrink_list(&mut list);
            shrink_map(&mut map);
            assert!(list.capacity() <= (SPARE * (list.len() + 1)).max(KEPT));
        }
        // What is free again, and not what `capacity` said before.
        map.extend((0..10).map(|n| (n, n)));
        assert!(map.capacity() <= 2 * KEPT, "{}", map.capacity());
    }

    #[test]
    fn what_only_comes_and_goes_is_left_alone() {
        let mut list: Vec<u32> = Vec::with_capacity(1_000);
        list.extend(0..500);
        list.truncate(200);
        shrink_list(&mut list);
        assert_eq!(list.capacity(), 1_000);
    }
}
