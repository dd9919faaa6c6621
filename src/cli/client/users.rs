//! Finds users: the one that an argument names, or all.

use super::{
    super::{failure::Failure, usage_error::repeated},
    Page, Session,
};
use crate::{
    domain::{
        id::UserId,
        token_text::{TokenText, TokenTextError},
        user::Username,
    },
    proto::hallpass::v1::{
        GetUserByUsernameRequest, GetUserRequest, ListUsersRequest, LookUpUserRequest,
        LookUpUserResponse, User, UserState,
    },
};

/// A user's name or ID. No text is both, since an ID begins with a digit.
enum UserRef {
    Id(String),
    Username(String),
}

impl UserRef {
    /// Refuses text that can be neither. It may be a secret, so it must not be sent.
    fn parse(text: &str) -> Result<Self, Failure> {
        if UserId::parse(text).is_some() {
            Ok(Self::Id(text.to_owned()))
        } else if let Ok(username) = Username::parse(text) {
            Ok(Self::Username(username.as_str().to_owned()))
        } else {
            Err(malformed(text))
        }
    }
}

fn malformed(text: &str) -> Failure {
    if !matches!(TokenText::from_paste(text), Err(TokenTextError::Malformed)) {
        return Failure::usage(
            "expected a user's name or ID, but a token is given; nothing of it was sent",
        );
    }
    if text.trim().is_empty() {
        return Failure::usage("expected a user's name or ID, but the argument is empty");
    }
    Failure::failed(format!(
        "there is no such user: {}; a name is 3 to 40 of a-z, 0-9 and -, an ID 22 letters and digits",
        repeated(text)
    ))
}

/// Adds which user does not exist.
fn naming(failure: Failure, user: &str) -> Failure {
    match UserId::parse(user) {
        Some(id) => failure.naming(format_args!(
            "{id}; if it is a token's ID, see `hallpass token get {id}`"
        )),
        None => failure.naming(user),
    }
}

impl Session {
    /// Reads the user with this name or ID.
    pub(in crate::cli) async fn get_user(&mut self, user: &str) -> Result<User, Failure> {
        let found = match UserRef::parse(user)? {
            UserRef::Id(id) => self
                .call(&GetUserRequest { id })
                .await
                .map(|reply| reply.user),
            UserRef::Username(username) => {
                let reply = self.call(&GetUserByUsernameRequest { username }).await;
                reply.map(|reply| reply.user)
            }
        };
        let found = found.map_err(|failure| naming(failure, user))?;
        found.ok_or_else(|| self.incomplete("user"))
    }

    /// The ID, name and type of the user with this name or ID, for an operation on it. This reads none of the user's
    /// data, so it leaves no audit record.
    pub(in crate::cli) async fn look_up_user(
        &mut self,
        user: &str,
    ) -> Result<LookUpUserResponse, Failure> {
        self.look_up(user, false).await
    }

    /// The same with what would break if the user went. If an admin reads that, it is recorded.
    pub(in crate::cli) async fn look_up_user_with_impact(
        &mut self,
        user: &str,
    ) -> Result<LookUpUserResponse, Failure> {
        self.look_up(user, true).await
    }

    async fn look_up(
        &mut self,
        user: &str,
        with_stakes: bool,
    ) -> Result<LookUpUserResponse, Failure> {
        let (id, username) = match UserRef::parse(user)? {
            UserRef::Id(id) => (id, String::new()),
            UserRef::Username(username) => (String::new(), username),
        };
        let request = LookUpUserRequest {
            id,
            username,
            with_stakes,
        };
        let reply = self.call(&request).await;
        reply.map_err(|failure| naming(failure, user))
    }

    /// A page of the users that the caller may see, and the token of the next page.
    pub(in crate::cli) async fn list_users(
        &mut self,
        page: Page,
        reverse: bool,
        state: UserState,
    ) -> Result<(Vec<User>, String), Failure> {
        let request = ListUsersRequest {
            page_size: page.size,
            page_token: page.token,
            reverse,
            user_state_filter: state.into(),
            user_type_filters: Vec::new(),
        };
        let reply = self.call(&request).await?;
        Ok((reply.users, reply.next_page_token))
    }
}
