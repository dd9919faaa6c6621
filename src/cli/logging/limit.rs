//! Limits how often the same warning is logged in a minute: a peer that causes it again and again must not fill the
//! disk or hide other warnings. Records that are left out are counted, and the count is logged after the minute.
//!
//! Warnings of libraries and our own are limited alike, each callsite by itself. Requests, at level info, are not: each
//! has its line. Levels below info are logged only if somebody asks for all of it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tracing::{Event, Level, Metadata, Subscriber, callsite::Identifier};
use tracing_subscriber::layer::{Context, Layer};

/// The maximum number of records of a callsite in a window.
const MAX_RECORDS: u64 = 20;
const WINDOW: Duration = Duration::from_mins(1);

/// The limit. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Limit(Arc<Mutex<HashMap<Identifier, Window>>>);

struct Window {
    callsite: &'static Metadata<'static>,
    start: Instant,
    records: u64,
}

impl Limit {
    /// Logs how many records were left out of windows that have ended at `now`.
    pub(super) fn report(&self, now: Instant) {
        let is_over = |window: &Window| now.duration_since(window.start) >= WINDOW;
        self.report_if(is_over);
    }

    /// Logs how many records were left out of all windows: the process ends.
    pub(super) fn report_all(&self) {
        self.report_if(|_| true);
    }

    fn report_if(&self, is_over: impl Fn(&Window) -> bool) {
        // Collected first: what is logged here comes through this layer, which takes the lock.
        let over: Vec<Window> = self
            .lock()
            .extract_if(|_, window| is_over(window))
            .map(|(_, window)| window)
            .collect();
        for Window {
            callsite, records, ..
        } in over
        {
            let left_out = records.saturating_sub(MAX_RECORDS);
            if left_out > 0 {
                tracing::warn!(
                    records = left_out,
                    of.target = callsite.target(),
                    of.line = callsite.line(),
                    "records were left out: one kind came too many times in a minute"
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
        let callsite = event.metadata();
        if *callsite.level() > Level::WARN || callsite.target().starts_with(super::TARGET) {
            return true;
        }
        let mut windows = self.lock();
        let window = windows
            .entry(callsite.callsite())
            .or_insert_with(|| Window {
                callsite,
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
    fn each_warning_is_limited_by_itself_and_what_is_left_out_is_counted_after_the_minute() {
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
            limit.report(Instant::now());
            assert_eq!(text_of(&written).matches("left out").count(), 0);
            limit.report(Instant::now() + WINDOW);
            tracing::warn!(target: "some_library", "once more");
            limit.report_all();
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
