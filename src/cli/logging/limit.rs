//! How often a minute one warning may be in the log: a peer that causes the same one again and again must not
//! fill a disk with it, nor hide the others. What is left out is counted, and told after the minute.
//!
//! The warnings of libraries and our own are limited alike, each place in the code by itself. Requests, which are
//! at level info, are not: there is one line for each. What is below info is only there where somebody asked for
//! all of it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tracing::{Event, Level, Metadata, Subscriber, callsite::Identifier};
use tracing_subscriber::layer::{Context, Layer};

/// How many records a place may make in a window.
const MAX_RECORDS: u64 = 20;
const WINDOW: Duration = Duration::from_mins(1);

/// The limit. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Limit(Arc<Mutex<HashMap<Identifier, Window>>>);

struct Window {
    place: &'static Metadata<'static>,
    start: Instant,
    records: u64,
}

impl Limit {
    /// Tells what was left out in windows that are over at `now`.
    pub(super) fn tell(&self, now: Instant) {
        let is_over = |window: &Window| now.duration_since(window.start) >= WINDOW;
        self.tell_of(is_over);
    }

    /// Tells what was left out, because the process ends.
    pub(super) fn tell_all(&self) {
        self.tell_of(|_| true);
    }

    fn tell_of(&self, is_over: impl Fn(&Window) -> bool) {
        // Collected first: what is told comes through here again, and must not find the lock taken.
        let over: Vec<Window> = self
            .lock()
            .extract_if(|_, window| is_over(window))
            .map(|(_, window)| window)
            .collect();
        for Window { place, records, .. } in over {
            let left_out = records.saturating_sub(MAX_RECORDS);
            if left_out > 0 {
                tracing::warn!(
                    records = left_out,
                    of.target = place.target(),
                    of.line = place.line(),
                    "records were left out: too many of one kind came in a minute"
                );
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Identifier, Window>> {
        // Nothing panics under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Subscriber> Layer<S> for Limit {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let place = event.metadata();
        if *place.level() > Level::WARN || place.target().starts_with(super::TARGET) {
            return true;
        }
        let mut windows = self.lock();
        let window = windows.entry(place.callsite()).or_insert_with(|| Window {
            place,
            start: Instant::now(),
            records: 0,
        });
        window.records += 1;
        window.records <= MAX_RECORDS
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::{fmt, layer::SubscriberExt, registry};

    use super::{
        super::tests::{Written, text_of},
        *,
    };

    #[test]
    fn one_kind_of_warning_is_limited_by_itself_and_what_is_left_out_is_told_after_the_minute() {
        let (limit, written) = (Limit::default(), Written::default());
        let writer = written.clone();
        let log = registry().with(limit.clone()).with(
            fmt::layer()
                .with_ansi(false)
                .with_writer(move || writer.clone()),
        );
        tracing::subscriber::with_default(log, || {
            for _ in 0..1_000 {
                tracing::warn!(target: "some_library", "often");
                tracing::info!("request");
            }
            tracing::warn!(target: "some_library", "once");
            limit.tell(Instant::now());
            assert_eq!(text_of(&written).matches("left out").count(), 0);
            limit.tell(Instant::now() + WINDOW);
            tracing::warn!(target: "some_library", "once more");
            limit.tell_all();
        });
        let text = text_of(&written);
        let count = |what: &str| text.matches(what).count();
        assert_eq!(count("often"), 20, "{text}");
        assert_eq!(count("request"), 1_000);
        assert_eq!((count(" once\n"), count("once more")), (1, 1));
        assert_eq!(count("left out"), 1, "{text}");
        assert!(text.contains("records=980"), "{text}");
        assert!(text.contains("of.target=\"some_library\""), "{text}");
    }
}
