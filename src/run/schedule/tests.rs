use super::*;

/// Images by number: key, and parent in this run.
fn schedule(images: &[(&str, Option<usize>)], fail_fast: bool) -> Schedule {
    let images: Vec<(&str, Vec<usize>)> = images
        .iter()
        .map(|(key, parent)| (*key, parent.iter().copied().collect()))
        .collect();
    graph(&images, fail_fast)
}

/// Images by number: key, and those they need in this run.
fn graph(images: &[(&str, Vec<usize>)], fail_fast: bool) -> Schedule {
    let keys: Vec<Digest> = images
        .iter()
        .map(|(key, _)| Digest::of(key.as_bytes()))
        .collect();
    let entries = images.iter().zip(&keys).zip(0..);
    Schedule::new(
        entries.map(|(((_, needs), key), number)| Entry {
            id: ImageId(number),
            key,
            needs: needs.iter().copied().map(ImageId).collect(),
        }),
        fail_fast,
    )
}

/// 0 base → 1 sci → 2 ml; 0 base → 3 r.
fn tree(fail_fast: bool) -> Schedule {
    schedule(
        &[
            ("base", None),
            ("sci", Some(0)),
            ("ml", Some(1)),
            ("r", Some(0)),
        ],
        fail_fast,
    )
}

/// 0 a, 1 the same as a; 2 b on 0, 3 the same as b on 1.
fn twins(fail_fast: bool) -> Schedule {
    schedule(
        &[("a", None), ("a", None), ("b", Some(0)), ("b", Some(1))],
        fail_fast,
    )
}

fn ids(list: &[ImageId]) -> Vec<usize> {
    list.iter().map(|id| id.0).collect()
}

/// `0 built, 1 skipped for 0`, …
fn shown(schedule: &Schedule) -> String {
    let states = schedule.states();
    let states: Vec<String> = states
        .iter()
        .map(|(id, state)| match state {
            State::Skipped(because) => format!("{} skipped for {}", id.0, because.0),
            state => format!("{} {}", id.0, format!("{state:?}").to_lowercase()),
        })
        .collect();
    states.join(", ")
}

#[test]
fn nothing_to_build_starts_nothing() {
    let mut empty = schedule(&[], false);
    assert_eq!(ids(&empty.start()), [0; 0]);
    assert_eq!(shown(&empty), "");
}

#[test]
fn before_the_start_everything_waits() {
    assert_eq!(
        shown(&tree(false)),
        "0 waiting, 1 waiting, 2 waiting, 3 waiting"
    );
}

#[test]
fn images_on_known_bases_start_first() {
    assert_eq!(ids(&tree(false).start()), [0]);
}

#[test]
fn independent_images_start_together() {
    let mut schedule = schedule(&[("a", None), ("b", None), ("c", None)], false);
    assert_eq!(ids(&schedule.start()), [0, 1, 2]);
}

#[test]
fn what_started_is_running() {
    let mut tree = tree(false);
    tree.start();
    assert_eq!(shown(&tree), "0 running, 1 waiting, 2 waiting, 3 waiting");
}

#[test]
fn children_begin_when_their_parent_is_built() {
    let mut tree = tree(false);
    tree.start();
    assert_eq!(ids(&tree.built(ImageId(0))), [1, 3]);
    assert_eq!(shown(&tree), "0 built, 1 running, 2 waiting, 3 running");
}

#[test]
fn a_grandchild_waits_for_its_own_parent() {
    let mut tree = tree(false);
    tree.start();
    tree.built(ImageId(0));
    assert_eq!(ids(&tree.built(ImageId(3))), [0; 0]);
    assert_eq!(ids(&tree.built(ImageId(1))), [2]);
}

#[test]
fn at_the_end_everything_is_built() {
    let mut tree = tree(false);
    tree.start();
    for id in [0, 1, 3, 2] {
        tree.built(ImageId(id));
    }
    assert_eq!(shown(&tree), "0 built, 1 built, 2 built, 3 built");
    assert!(!tree.is_stopped());
}

#[test]
fn a_failure_skips_all_descendants() {
    let mut tree = tree(false);
    tree.start();
    assert_eq!(ids(&tree.failed(ImageId(0))), [1, 2, 3]);
    assert_eq!(
        shown(&tree),
        "0 failed, 1 skipped for 0, 2 skipped for 0, 3 skipped for 0"
    );
}

#[test]
fn a_failure_leaves_siblings_alone() {
    let mut tree = tree(false);
    tree.start();
    tree.built(ImageId(0));
    assert_eq!(ids(&tree.failed(ImageId(1))), [2]);
    assert_eq!(
        shown(&tree),
        "0 built, 1 failed, 2 skipped for 1, 3 running"
    );
}

#[test]
fn a_failed_leaf_skips_nothing() {
    let mut tree = tree(false);
    tree.start();
    tree.built(ImageId(0));
    assert_eq!(ids(&tree.failed(ImageId(3))), [0; 0]);
}

#[test]
fn a_sibling_can_be_built_after_a_failure() {
    let mut tree = tree(false);
    tree.start();
    tree.built(ImageId(0));
    tree.failed(ImageId(1));
    tree.built(ImageId(3));
    assert_eq!(shown(&tree), "0 built, 1 failed, 2 skipped for 1, 3 built");
}

#[test]
fn two_failures_each_skip_their_own() {
    let mut schedule = schedule(
        &[
            ("a", None),
            ("b", None),
            ("on a", Some(0)),
            ("on b", Some(1)),
        ],
        false,
    );
    schedule.start();
    schedule.failed(ImageId(1));
    schedule.failed(ImageId(0));
    assert_eq!(
        shown(&schedule),
        "0 failed, 1 failed, 2 skipped for 0, 3 skipped for 1"
    );
}

#[test]
fn without_fail_fast_a_failure_does_not_stop_the_run() {
    let mut tree = tree(false);
    tree.start();
    tree.failed(ImageId(0));
    assert!(!tree.is_stopped());
}

#[test]
fn fail_fast_stops_the_run() {
    let mut tree = tree(true);
    tree.start();
    assert!(!tree.is_stopped());
    tree.built(ImageId(0));
    tree.failed(ImageId(1));
    assert!(tree.is_stopped());
}

#[test]
fn fail_fast_skips_what_runs_and_what_waits() {
    let mut tree = tree(true);
    tree.start();
    tree.built(ImageId(0));
    assert_eq!(ids(&tree.failed(ImageId(1))), [2, 3]);
    assert_eq!(
        shown(&tree),
        "0 built, 1 failed, 2 skipped for 1, 3 skipped for 1"
    );
}

#[test]
fn fail_fast_leaves_what_is_built() {
    let mut schedule = schedule(&[("a", None), ("b", None), ("c", None)], true);
    schedule.start();
    schedule.built(ImageId(2));
    assert_eq!(ids(&schedule.failed(ImageId(0))), [1]);
    assert_eq!(shown(&schedule), "0 failed, 1 skipped for 0, 2 built");
}

#[test]
fn images_with_one_key_are_built_once() {
    let mut twins = twins(false);
    assert_eq!(ids(&twins.order().collect::<Vec<_>>()), [0, 2]);
    assert_eq!(ids(&twins.start()), [0]);
}

#[test]
fn a_leader_stands_for_itself_and_its_followers() {
    let twins = twins(false);
    assert_eq!(ids(twins.followers(ImageId(0))), [0, 1]);
    assert_eq!(ids(twins.followers(ImageId(2))), [2, 3]);
    assert_eq!(ids(twins.followers(ImageId(1))), [0; 0]);
}

#[test]
fn an_image_with_its_own_key_leads_only_itself() {
    assert_eq!(ids(tree(false).followers(ImageId(1))), [1]);
}

#[test]
fn followers_are_built_with_their_leader() {
    let mut twins = twins(false);
    twins.start();
    assert_eq!(ids(&twins.built(ImageId(0))), [2]);
    assert_eq!(shown(&twins), "0 built, 1 built, 2 running, 3 running");
}

#[test]
fn followers_of_a_failed_leader_are_skipped_because_of_it() {
    let mut twins = twins(false);
    twins.start();
    twins.built(ImageId(0));
    twins.failed(ImageId(2));
    assert_eq!(shown(&twins), "0 built, 1 built, 2 failed, 3 skipped for 2");
}

#[test]
fn followers_of_a_skipped_leader_are_skipped_for_the_same_image() {
    let mut twins = twins(false);
    twins.start();
    twins.failed(ImageId(0));
    assert_eq!(
        shown(&twins),
        "0 failed, 1 skipped for 0, 2 skipped for 0, 3 skipped for 0"
    );
}

#[test]
fn a_child_of_a_follower_waits_for_the_leader() {
    let mut schedule = schedule(&[("a", None), ("a", None), ("c", Some(1))], false);
    assert_eq!(ids(&schedule.start()), [0]);
    assert_eq!(ids(&schedule.built(ImageId(0))), [2]);
}

#[test]
fn a_child_of_a_failed_leaders_follower_is_skipped() {
    let mut schedule = schedule(&[("a", None), ("a", None), ("c", Some(1))], false);
    schedule.start();
    assert_eq!(ids(&schedule.failed(ImageId(0))), [2]);
}

#[test]
fn with_fail_fast_followers_of_running_images_are_skipped() {
    let mut schedule = schedule(&[("a", None), ("b", None), ("b", None)], true);
    schedule.start();
    schedule.failed(ImageId(0));
    assert_eq!(
        shown(&schedule),
        "0 failed, 1 skipped for 0, 2 skipped for 0"
    );
}

#[test]
fn skipped_images_are_reported_in_the_order_of_the_stack() {
    let mut schedule = schedule(
        &[
            ("a", None),
            ("b", Some(0)),
            ("c", Some(1)),
            ("d", Some(0)),
            ("e", Some(2)),
        ],
        false,
    );
    schedule.start();
    assert_eq!(ids(&schedule.failed(ImageId(0))), [1, 2, 3, 4]);
}

/// 0 base → 1 tool, 0 base → 2 sci; 3 ml needs 1 and 2.
fn diamond() -> Schedule {
    graph(
        &[
            ("base", vec![]),
            ("tool", vec![0]),
            ("sci", vec![0]),
            ("ml", vec![2, 1]),
        ],
        false,
    )
}

#[test]
fn an_image_begins_when_all_it_needs_are_built() {
    let mut diamond = diamond();
    diamond.start();
    assert_eq!(ids(&diamond.built(ImageId(0))), [1, 2]);
    assert_eq!(ids(&diamond.built(ImageId(2))), [0; 0]);
    assert_eq!(ids(&diamond.built(ImageId(1))), [3]);
}

#[test]
fn an_image_is_skipped_when_one_it_needs_failed() {
    let mut diamond = diamond();
    diamond.start();
    diamond.built(ImageId(0));
    assert_eq!(ids(&diamond.failed(ImageId(1))), [3]);
    assert_eq!(ids(&diamond.built(ImageId(2))), [0; 0]);
    assert_eq!(
        shown(&diamond),
        "0 built, 1 failed, 2 built, 3 skipped for 1"
    );
}

#[test]
fn ids_of_images_that_are_not_built_may_be_missing() {
    let key = Digest::of(b"late");
    let entry = Entry {
        id: ImageId(7),
        key: &key,
        needs: Vec::new(),
    };
    let mut schedule = Schedule::new([entry], false);
    assert_eq!(ids(&schedule.start()), [7]);
    assert_eq!(shown(&schedule), "7 running");
}

proptest::proptest! {
    #[test]
    fn in_any_order_each_image_begins_once_when_all_it_needs_are_built(
        needs in proptest::collection::vec(proptest::collection::btree_set(0..20_usize, 0..4), 1..20),
        picks in proptest::collection::vec(0..20_usize, 20),
    ) {
        let needs: Vec<Vec<usize>> = (needs.iter().enumerate())
            .map(|(id, all)| all.iter().copied().filter(|needed| *needed < id).collect())
            .collect();
        let keys: Vec<String> = (0..needs.len()).map(|id| id.to_string()).collect();
        let images: Vec<_> = keys.iter().map(String::as_str).zip(needs.clone()).collect();
        let mut schedule = graph(&images, false);
        let mut begun = ids(&schedule.start());
        let (mut running, mut built) = (begun.clone(), Vec::new());
        for pick in picks {
            let ready = |id: &usize| needs[*id].iter().all(|needed| built.contains(needed));
            let expected: Vec<usize> = (0..needs.len()).filter(ready).collect();
            begun.sort_unstable();
            proptest::prop_assert_eq!(&begun, &expected);
            if running.is_empty() {
                break;
            }
            let done = running.swap_remove(pick % running.len());
            built.push(done);
            let started = ids(&schedule.built(ImageId(done)));
            begun.extend(&started);
            running.extend(started);
        }
        proptest::prop_assert_eq!(built.len(), needs.len());
    }
}
