//! Which request is being served, for the log: whatever is recorded while it is has its ID.

use crate::domain::id::IdText;

tokio::task_local! {
    static REQUEST_ID: IdText;
}

/// The ID of the request that this task is serving.
pub fn request_id() -> Option<IdText> {
    REQUEST_ID.try_with(|id| *id).ok()
}

/// Serves the request `id` for as long as `work` takes.
pub(super) fn serving<T>(id: IdText, work: impl FnOnce() -> T) -> T {
    REQUEST_ID.sync_scope(id, work)
}

/// Serves the request `id` until `reply` is there.
pub(super) fn serving_until<F: Future>(id: IdText, reply: F) -> impl Future<Output = F::Output> {
    REQUEST_ID.scope(id, reply)
}
