//! Which request is being served, for the log: whatever is recorded while it is has its ID, and what is found out
//! about it on the way is left here for its line in the access log.

use std::{cell::Cell, net::IpAddr};

use crate::{
    app::caller::Caller,
    domain::id::{IdText, TokenId, UserId},
};

use super::listener;

tokio::task_local! {
    static CURRENT: Current;
}

struct Current {
    id: IdText,
    fields: Cell<LogFields>,
}

/// What is known of a request so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LogFields {
    /// The kind of credential that was shown: `token`, `password` or `local`.
    pub(super) credential: Option<&'static str>,
    /// The token that was shown, where its secret was right.
    pub(super) token: Option<TokenId>,
    /// Whose it is, or who signed in.
    pub(super) user: Option<UserId>,
    /// Why the request was refused, or why the token that it asks about is not valid: a name of
    /// `hallpass.v1.Reason`.
    pub(super) reason: Option<&'static str>,
    /// From where the token is used that the request asks about, as whoever asks says.
    pub(super) client_ip: Option<IpAddr>,
    /// It is a health probe or the check of a token: there are many, and they only matter when they fail.
    pub(super) is_routine: bool,
}

/// The ID of the request that this task is sync_scope.
pub fn request_id() -> Option<IdText> {
    CURRENT.try_with(|current| current.id).ok()
}

/// Begins to serve the request `id`; what is known by the end of `work` is handed back for [`scope`].
pub(super) fn sync_scope<T>(id: IdText, work: impl FnOnce() -> T) -> (T, LogFields) {
    let fields = Cell::default();
    CURRENT.sync_scope(Current { id, fields }, || (work(), log_fields()))
}

/// Serves the request `id`, of which this is known, until `reply` is there.
pub(super) fn scope<F: Future>(
    id: IdText,
    fields: LogFields,
    reply: F,
) -> impl Future<Output = F::Output> {
    let fields = Cell::new(fields);
    CURRENT.scope(Current { id, fields }, reply)
}

/// What is known of the request that this task is sync_scope.
pub(super) fn log_fields() -> LogFields {
    let fields = CURRENT.try_with(|current| current.fields.get());
    fields.unwrap_or_default()
}

/// Notes who calls.
pub(super) fn note_caller(caller: &Caller) {
    listener::note_authenticated();
    note(|fields| {
        fields.token = caller.token().map(|token| token.id);
        fields.user = caller.user_id();
    });
}

/// Notes whose token was shown.
pub(super) fn note_token(token: TokenId, user: UserId) {
    note(|fields| (fields.token, fields.user) = (Some(token), Some(user)));
}

/// Notes which kind of credential was shown.
pub(super) fn note_credential(kind: &'static str) {
    note(|fields| fields.credential = Some(kind));
}

/// Notes why something is refused: a name of `hallpass.v1.Reason`.
pub(super) fn note_reason(reason: &'static str) {
    note(|fields| fields.reason = Some(reason));
}

/// Notes from where a token is used, as whoever asks about it says.
pub(super) fn note_client_ip(ip: Option<IpAddr>) {
    note(|fields| fields.client_ip = ip);
}

/// Notes that the request is a health probe or the check of a token.
pub(super) fn note_routine() {
    note(|fields| fields.is_routine = true);
}

/// Outside of requests there is nothing to note.
fn note(change: impl FnOnce(&mut LogFields)) {
    let noted = CURRENT.try_with(|current| {
        let mut fields = current.fields.get();
        change(&mut fields);
        current.fields.set(fields);
    });
    noted.unwrap_or_default();
}
