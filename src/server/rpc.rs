//! RPC handlers: each decodes its message, calls a use case and encodes the result. No SQL, no policy.
//!
//! A handler takes its caller as an argument, so it cannot run without one.

mod admin;
mod audit;
mod authn;
mod change;
mod envoy;
mod explain;
mod message;
mod status;
mod token;
mod user;
mod verify;

use std::sync::Arc;

use axum::Router;

use crate::{
    app::{App, page::PageRequest},
    proto::{
        buf::registry::owner::v1::user_service_connect as owner,
        envoy::service::auth::v3::authorization_connect::AuthorizationServiceBuilder,
        hallpass::v1::{
            admin_service_connect::AdminServiceBuilder, audit_service_connect::AuditServiceBuilder,
            authn_service_connect::AuthnServiceBuilder,
            status_service_connect::StatusServiceBuilder,
            token_service_connect::TokenServiceBuilder, user_service_connect::UserServiceBuilder,
        },
    },
};

use super::{
    client_address::ClientAddress,
    edge::handlers::{server_stream, unary},
    error::ApiError,
};

/// The routes of all procedures.
pub(super) fn routes(app: &App, addresses: Arc<ClientAddress>) -> Router {
    let tokens = TokenServiceBuilder::new()
        .create_token(unary(token::create))
        .get_token(unary(token::get))
        .list_tokens(unary(token::list))
        .delete_token(unary(token::delete))
        .look_up_token(unary(token::look_up))
        .verify_token(unary(verify::verify))
        .rotate_token(unary(change::rotate))
        .undo_rotation(unary(change::undo_rotation))
        .update_token(unary(change::update))
        .explain_token(unary(explain::explain));
    let users = UserServiceBuilder::new()
        .create_user(unary(user::create))
        .get_user(unary(user::get))
        .get_user_by_username(unary(user::get_by_username))
        .look_up_user(unary(user::look_up))
        .list_users(unary(user::list))
        .count_users(unary(user::count))
        .update_user_server_role(unary(user::set_role))
        .update_user_settings(unary(user::set_settings))
        .set_password(unary(user::set_password))
        .set_owner(unary(user::set_owner))
        .deactivate_user(unary(user::deactivate))
        .reactivate_user(unary(user::reactivate))
        .delete_user(unary(user::delete));
    let authn = AuthnServiceBuilder::new().get_current_user(unary(authn::current));
    let owner = owner::UserServiceBuilder::new().get_current_user(unary(authn::current_as_owner));
    let audit = AuditServiceBuilder::new()
        .list_audit_events(unary(audit::list))
        .stream_audit_events(server_stream(audit::stream));
    let envoy = envoy::Envoy {
        app: app.clone(),
        addresses,
    };
    let authorization = AuthorizationServiceBuilder::new().check(unary(envoy::check));
    let admin = AdminServiceBuilder::new()
        .list_all_tokens(unary(admin::list_all_tokens))
        .count_all_tokens(unary(admin::count_all_tokens))
        .revoke_tokens(unary(admin::revoke_tokens))
        .revoke_leaked_tokens(unary(admin::revoke_leaked_tokens))
        .check_data(server_stream(admin::check_data))
        .back_up_data(server_stream(admin::back_up_data));
    let status = StatusServiceBuilder::new().get_server_status(unary(status::get));
    Router::new()
        .merge(authorization.with_state(envoy).build())
        .merge(tokens.with_state(app.clone()).build())
        .merge(users.with_state(app.clone()).build())
        .merge(authn.with_state(app.clone()).build())
        .merge(owner.with_state(app.clone()).build())
        .merge(audit.with_state(app.clone()).build())
        .merge(admin.with_state(app.clone()).build())
        .merge(status.with_state(app.clone()).build())
}

/// What a handler returns.
type Reply<T> = Result<T, ApiError>;

/// The error for a number that is not a value of its enum.
const NOT_OF_THE_ENUM: &str = "is not a value of the enum";

fn page_request(size: u32, token: String, reverse: bool) -> PageRequest {
    PageRequest {
        size,
        token,
        reverse,
    }
}
