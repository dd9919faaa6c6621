//! All open connections, so that one can be ended to make room. Whoever has been silent for longest goes
//! first: slow sockets then cannot keep others out. A connection with a request under way never goes.

use std::sync::Arc;

use super::pulse::Pulse;

#[derive(Default)]
pub(super) struct Roster(Vec<Arc<Pulse>>);

impl Roster {
    /// Whether one more connection can be taken, if need be in the place of a silent one.
    pub(super) fn has_room(&self, most: usize) -> bool {
        self.0.len() < most || self.0.iter().any(|pulse| pulse.waiting_since().is_some())
    }

    /// Enters a new connection, and ends a silent one where there are too many.
    pub(super) fn enter(&mut self, most: usize) -> Arc<Pulse> {
        if self.0.len() >= most {
            let waiting =
                |(index, pulse): (usize, &Arc<Pulse>)| Some((pulse.waiting_since()?, index));
            if let Some((_, index)) = self.0.iter().enumerate().filter_map(waiting).min() {
                self.0.swap_remove(index).evicted.notify_one();
            }
        }
        let pulse = Arc::new(Pulse::new());
        self.0.push(Arc::clone(&pulse));
        pulse
    }

    /// Strikes out the connections that are gone.
    pub(super) fn sweep(&mut self) {
        self.0.retain(|pulse| Arc::strong_count(pulse) > 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn the_longest_silent_connection_makes_room_and_a_busy_one_never() {
        let mut roster = Roster::default();
        let busy = roster.enter(3);
        busy.begin();
        tokio::time::advance(Duration::from_secs(1)).await;
        let silent = roster.enter(3);
        tokio::time::advance(Duration::from_secs(1)).await;
        let young = roster.enter(3);
        assert!(roster.has_room(3));
        let newest = roster.enter(3);
        silent.evicted.notified().await;
        young.begin();
        newest.begin();
        assert!(!roster.has_room(3));
        drop(young);
        roster.sweep();
        assert!(roster.has_room(3));
    }
}
