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
