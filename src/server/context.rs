//! What is known of a request besides its head and its body, and what its line in the access log will say. It is
//! made once, by the edge, and handed along as an argument.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use connectrpc_axum::Code;

use crate::{
    app::caller::{Caller, ClientInfo},
    domain::{
        id::{IdText, TokenId, UserId},
        reason::Reason,
    },
};

use super::{
    endpoints::Endpoint,
    listener::{self, Peer},
};

/// The context of a request. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct RequestContext(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    client: Arc<ClientInfo>,
    peer: Peer,
    may_send_password: bool,
    log: Mutex<LogFields>,
}

/// Fields of the access log that become known while a request is served.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LogFields {
    /// The endpoint, if it is in the list.
    pub(super) endpoint: Option<&'static Endpoint>,
    /// The result, if it is a call or was refused like one.
    pub(super) call: Option<CallResult>,
    /// The kind of credential that was presented: `token`, `password` or `local`.
    pub(super) credential: Option<&'static str>,
    /// The token that was presented, if its secret was right.
    pub(super) token: Option<TokenId>,
    /// Its owner, or who signed in.
    pub(super) user: Option<UserId>,
    /// Why the request was refused, or why the token it asks about is not valid.
    pub(super) reason: Option<Reason>,
    /// Client address of the token that the request asks about, as reported by the caller.
    pub(super) client_ip: Option<IpAddr>,
}

/// The result of a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallResult {
    /// The name of the caller's protocol; `None` if it could not be determined.
    pub(super) protocol: Option<&'static str>,
    /// The error's code; `None` for success, and for streams, whose end is not known when they begin.
    pub(super) error: Option<Code>,
}

impl RequestContext {
    /// `may_send_password`: whether the page that sent the request, if one did, may send passwords.
    pub(super) fn new(client: ClientInfo, peer: Peer, may_send_password: bool) -> Self {
        Self(Arc::new(Inner {
            client: Arc::new(client),
            peer,
            may_send_password,
            log: Mutex::default(),
        }))
    }

    /// The client, and the IDs of the request.
    pub(super) fn client(&self) -> &Arc<ClientInfo> {
        &self.0.client
    }

    pub(super) fn request_id(&self) -> IdText {
        self.0.client.request_id.encode()
    }

    /// The other end of the connection.
    pub(super) fn peer(&self) -> Peer {
        self.0.peer
    }

    pub(super) fn may_send_password(&self) -> bool {
        self.0.may_send_password
    }

    /// The fields collected so far.
    pub(super) fn log_fields(&self) -> LogFields {
        *self.log()
    }

    pub(super) fn note_endpoint(&self, endpoint: Option<&'static Endpoint>) {
        self.log().endpoint = endpoint;
    }

    pub(super) fn note_call(&self, result: CallResult) {
        self.log().call = Some(result);
    }

    /// Records that the caller has authenticated.
    pub(super) fn note_caller(&self, caller: &Caller) {
        listener::note_authenticated();
        let mut log = self.log();
        log.token = caller.token().map(|token| token.id);
        log.user = caller.user_id();
    }

    /// Records which token was presented, and its owner.
    pub(super) fn note_token(&self, token: TokenId, user: UserId) {
        let mut log = self.log();
        (log.token, log.user) = (Some(token), Some(user));
    }

    /// Records the kind of credential that was presented.
    pub(super) fn note_credential(&self, kind: &'static str) {
        self.log().credential = Some(kind);
    }

    /// Records why something is refused.
    pub(super) fn note_reason(&self, reason: Reason) {
        self.log().reason = Some(reason);
    }

    /// Records the client address of the token that is asked about, as reported by the caller.
    pub(super) fn note_client_ip(&self, ip: Option<IpAddr>) {
        self.log().client_ip = ip;
    }

    /// The context of a request without a client.
    #[cfg(test)]
    pub(super) fn of_nobody() -> Self {
        let client = ClientInfo {
            request_id: crate::domain::id::RequestId::from_id(crate::domain::id::Id::from_u128(1)),
            client_request_id: None,
            ip: None,
            user_agent: String::new(),
        };
        Self::new(client, Peer::Local { uid: 0 }, true)
    }

    fn log(&self) -> MutexGuard<'_, LogFields> {
        self.0.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
