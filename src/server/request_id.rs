//! The request ID: always our own, in every reply, in every line that is logged meanwhile, and in the audit log. A
//! valid `x-request-id` of the client is kept beside it.

use http::{HeaderMap, HeaderName};

use crate::domain::id::IdText;

/// The header field, in both directions.
pub(super) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

tokio::task_local! {
    static CURRENT: IdText;
}

/// The ID of the request that this task is serving.
pub fn current() -> Option<IdText> {
    CURRENT.try_with(|id| *id).ok()
}

/// Serves the request `id` in this task.
pub(super) fn scope<F: Future>(id: IdText, serving: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(id, serving)
}

/// The client's own ID of its request, if it sent a valid one.
pub(super) fn of_client(headers: &HeaderMap) -> Option<&str> {
    let id = headers.get(HEADER)?.to_str().ok()?;
    is_valid(id).then_some(id)
}

fn is_valid(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=64).contains(&id.len()) && id.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_valid_request_ids_are_kept() {
        for good in ["a", "A-b_c.9", &"x".repeat(64)] {
            assert!(is_valid(good), "{good}");
        }
        for bad in ["", "a b", "é", "a/b", &"x".repeat(65)] {
            assert!(!is_valid(bad), "{bad}");
        }
    }
}
