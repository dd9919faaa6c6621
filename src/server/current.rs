//! The request that the current task is serving: its ID, for everything that is logged meanwhile, and the fields
//! that are collected for its line in the access log.

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

/// Fields of the access log that become known while a request is served.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LogFields {
    /// The kind of credential that was presented: `token`, `password` or `local`.
    pub(super) credential: Option<&'static str>,
    /// The token that was presented, if its secret was right.
    pub(super) token: Option<TokenId>,
    /// Its owner, or who signed in.
    pub(super) user: Option<UserId>,
    /// Why the request was refused, or why the token it asks about is not valid: a name of `hallpass.v1.Reason`.
    pub(super) reason: Option<&'static str>,
    /// Client address of the token that the request asks about, as reported by the caller.
    pub(super) client_ip: Option<IpAddr>,
    /// A health probe or a token check: there are many, and they only matter when they fail.
    pub(super) is_routine: bool,
}

/// The ID of the request that this task is serving.
pub fn request_id() -> Option<IdText> {
    CURRENT.try_with(|current| current.id).ok()
}

/// Runs `work` as part of the request `id`. Returns the fields collected so far, for [`scope`].
pub(super) fn sync_scope<T>(id: IdText, work: impl FnOnce() -> T) -> (T, LogFields) {
    let fields = Cell::default();
    CURRENT.sync_scope(Current { id, fields }, || (work(), log_fields()))
}

/// Runs `reply` as part of the request `id`, with the fields collected so far.
pub(super) fn scope<F: Future>(
    id: IdText,
    fields: LogFields,
    reply: F,
) -> impl Future<Output = F::Output> {
    let fields = Cell::new(fields);
    CURRENT.scope(Current { id, fields }, reply)
}

/// The fields collected for the request that this task is serving.
pub(super) fn log_fields() -> LogFields {
    let fields = CURRENT.try_with(|current| current.fields.get());
    fields.unwrap_or_default()
}

pub(super) fn note_caller(caller: &Caller) {
    listener::note_authenticated();
    note(|fields| {
        fields.token = caller.token().map(|token| token.id);
        fields.user = caller.user_id();
    });
}

/// Records which token was presented, and its owner.
pub(super) fn note_token(token: TokenId, user: UserId) {
    note(|fields| (fields.token, fields.user) = (Some(token), Some(user)));
}

/// Records the kind of credential that was presented.
pub(super) fn note_credential(kind: &'static str) {
    note(|fields| fields.credential = Some(kind));
}

/// Records why something is refused: a name of `hallpass.v1.Reason`.
pub(super) fn note_reason(reason: &'static str) {
    note(|fields| fields.reason = Some(reason));
}

/// Records the client address of the token that is asked about, as reported by the caller.
pub(super) fn note_client_ip(ip: Option<IpAddr>) {
    note(|fields| fields.client_ip = ip);
}

/// Records that the request is a health probe or a token check.
pub(super) fn note_routine() {
    note(|fields| fields.is_routine = true);
}

/// Does nothing outside of a request.
fn note(change: impl FnOnce(&mut LogFields)) {
    let noted = CURRENT.try_with(|current| {
        let mut fields = current.fields.get();
        change(&mut fields);
        current.fields.set(fields);
    });
    noted.unwrap_or_default();
}
