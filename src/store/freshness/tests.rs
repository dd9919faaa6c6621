use super::*;
use crate::store::samples::NOW;

#[test]
fn a_change_makes_what_it_changed_stale_and_nothing_else() {
    let counters = Counters::default();
    let (one, other) = (TokenId::generate(NOW), TokenId::generate(NOW));
    let stamps = || (counters.stamp(one), counters.stamp(other));
    let before = stamps();
    counters.raise(&Changes::default());
    assert_eq!(stamps(), before);

    let notes = Notes::default();
    notes.token(one);
    counters.raise(&notes.into_changes());
    assert_ne!(counters.stamp(one), before.0);
    assert_eq!(counters.stamp(other), before.1);

    let before = stamps();
    let mut changes = Changes::default();
    changes.add(Changes::everything());
    counters.raise(&changes);
    assert_ne!(counters.stamp(one), before.0);
    assert_ne!(counters.stamp(other), before.1);

    let before = stamps();
    let notes = Notes::default();
    notes.aside();
    counters.raise(&notes.into_changes());
    assert_ne!(counters.stamp(one), before.0);
    assert!(before.0.decides_as(&counters.stamp(one)));
}
