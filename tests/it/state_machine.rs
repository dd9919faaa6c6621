//! Compares the use cases with a model of tokens and users: in any order of steps, both must agree.
//! 256 runs of 40 steps.

use std::{
    cell::{Cell, RefCell},
    collections::HashSet,
    time::Duration,
};

use hallpass::{
    app::{
        Error,
        caller::{Caller, ClientInfo},
        page::PageRequest,
        tokens::{CreateToken, ListTokens, RotateToken, UpdateToken},
        users::{CreateUser, NewUser},
    },
    domain::{id::RequestId, reason::Reason, secret::Secret, user::Role},
};
use proptest::prelude::*;

use crate::model::{Model, ROBOT};
use crate::test_app::{self, TestApp, password_of};

/// A step. Users are numbers of [`crate::model`]; numbers of tokens are taken modulo their count.
#[derive(Clone, Copy, Debug)]
enum Step {
    Create {
        user: usize,
        ttl_secs: Option<u8>,
    },
    CreateChild {
        parent: usize,
        user: usize,
        ttl_secs: Option<u8>,
    },
    Get {
        by: usize,
        token: usize,
    },
    List {
        by: usize,
        user: usize,
    },
    Delete {
        by: usize,
        token: usize,
    },
    DeleteItself {
        token: usize,
    },
    Rotate {
        by: usize,
        token: usize,
        grace: u8,
    },
    SetDisabled {
        token: usize,
        disabled: bool,
    },
    Deactivate {
        user: usize,
    },
    Reactivate {
        user: usize,
    },
    Advance {
        secs: u8,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let user = || 0..3_usize;
    let token = || 0..40_usize;
    let ttl = || prop_oneof![Just(None), (1..60_u8).prop_map(Some)];
    prop_oneof![
        3 => (user(), ttl()).prop_map(|(user, ttl_secs)| Step::Create { user, ttl_secs }),
        5 => (token(), user(), ttl()).prop_map(|(parent, user, ttl_secs)| Step::CreateChild {
            parent,
            user,
            ttl_secs
        }),
        2 => (token(), token()).prop_map(|(by, token)| Step::Get { by, token }),
        2 => (token(), user()).prop_map(|(by, user)| Step::List { by, user }),
        2 => (token(), token()).prop_map(|(by, token)| Step::Delete { by, token }),
        1 => token().prop_map(|token| Step::DeleteItself { token }),
        3 => (token(), token(), 0..30_u8).prop_map(|(by, token, grace)| Step::Rotate {
            by,
            token,
            grace
        }),
        2 => (token(), any::<bool>())
            .prop_map(|(token, disabled)| Step::SetDisabled { token, disabled }),
        1 => user().prop_map(|user| Step::Deactivate { user }),
        2 => user().prop_map(|user| Step::Reactivate { user }),
        2 => (0..30_u8).prop_map(|secs| Step::Advance { secs }),
    ]
}

/// One run: the application beside the model.
struct Run<'a> {
    app: &'a TestApp,
    local: Caller,
    users: Vec<String>,
    /// ID and plaintext of each token, as the model numbers them.
    tokens: Vec<(String, String)>,
    model: Model,
    /// The refusals that occurred.
    met: &'a RefCell<HashSet<Reason>>,
}

impl<'a> Run<'a> {
    /// Creates users for this run only: two people, and a machine of the first.
    async fn start(app: &'a TestApp, met: &'a RefCell<HashSet<Reason>>, number: usize) -> Self {
        let local = test_app::local(&app.app);
        let mut users: Vec<String> = Vec::new();
        for (user, name) in ["owner", "robot", "other"].into_iter().enumerate() {
            let password = Secret::new(password_of("anyone"));
            let kind = if user == ROBOT {
                let owner_id = Some(users[0].clone());
                NewUser::Machine { owner_id }
            } else {
                NewUser::Person { password }
            };
            let request = CreateUser {
                username: format!("{name}-{number}"),
                description: String::new(),
                role: Ok(Role::Member),
                kind: Ok(kind),
            };
            let user = app.app.create_user(&local, request).await.unwrap();
            users.push(user.id.to_string());
        }
        let (tokens, model) = (Vec::new(), Model::new(app.app.now()));
        Self {
            app,
            local,
            users,
            tokens,
            model,
            met,
        }
    }

    async fn caller(&self, token: usize) -> Result<Caller, Reason> {
        let origin = ClientInfo {
            request_id: RequestId::generate(self.app.app.now()),
            client_request_id: None,
            ip: Some([192, 0, 2, 1].into()),
            user_agent: String::new(),
        };
        let (_, text) = &self.tokens[token];
        let caller = self.app.app.authenticate(text, &origin.into()).await;
        caller.map_err(|error| error.reason())
    }

    async fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        // The token with this number, if there is any yet.
        let nth = |token: usize| token.checked_rem(self.tokens.len());
        match step {
            Step::Create { user, ttl_secs } => {
                let expected = self.model.create(user, None, ttl_secs);
                let local = self.local.clone();
                self.create(&local, user, ttl_secs, expected).await
            }
            Step::CreateChild {
                parent,
                user,
                ttl_secs,
            } => {
                let Some(parent) = nth(parent) else {
                    return Ok(());
                };
                let Some(caller) = self.authenticate(parent).await? else {
                    return Ok(());
                };
                let expected = self.model.create(user, Some(parent), ttl_secs);
                self.create(&caller, user, ttl_secs, expected).await
            }
            Step::Get { by, token } => {
                let Some((by, token)) = nth(by).zip(nth(token)) else {
                    return Ok(());
                };
                let Some(caller) = self.authenticate(by).await? else {
                    return Ok(());
                };
                let got = self.app.app.get_token(&caller, &self.tokens[token].0).await;
                let got = got
                    .map(|(token, _)| token.id.to_string())
                    .map_err(|e| e.reason());
                let expected = self
                    .model
                    .get(by, token)
                    .map(|()| self.tokens[token].0.clone());
                prop_assert_eq!(got, expected);
                Ok(())
            }
            Step::List { by, user } => {
                let Some(by) = nth(by) else { return Ok(()) };
                let Some(caller) = self.authenticate(by).await? else {
                    return Ok(());
                };
                self.list(&caller, by, user).await
            }
            Step::Delete { by, token } => {
                let Some((by, token)) = nth(by).zip(nth(token)) else {
                    return Ok(());
                };
                self.delete(by, token).await
            }
            Step::DeleteItself { token } => {
                let Some(token) = nth(token) else {
                    return Ok(());
                };
                self.delete(token, token).await
            }
            Step::Rotate { by, token, grace } => {
                let Some((by, token)) = nth(by).zip(nth(token)) else {
                    return Ok(());
                };
                // Half of the rotations are by the token itself.
                let token = if grace % 2 == 0 { by } else { token };
                self.rotate(by, token, grace).await
            }
            Step::SetDisabled { token, disabled } => {
                let Some(token) = nth(token) else {
                    return Ok(());
                };
                let request = UpdateToken {
                    token_id: self.tokens[token].0.clone(),
                    disabled: Some(disabled),
                    ..UpdateToken::default()
                };
                let done = self.app.app.update_token(&self.local, request).await;
                let expected = self.model.set_disabled(token, disabled);
                prop_assert_eq!(done.map(drop).map_err(|e| e.reason()), expected);
                Ok(())
            }
            Step::Deactivate { user } => {
                let id = &self.users[user];
                self.app.app.deactivate_user(&self.local, id).await.unwrap();
                self.model.active[user] = false;
                Ok(())
            }
            Step::Reactivate { user } => {
                let id = &self.users[user];
                self.app.app.reactivate_user(&self.local, id).await.unwrap();
                self.model.active[user] = true;
                Ok(())
            }
            Step::Advance { secs } => {
                self.app.clock.advance(Duration::from_secs(secs.into()));
                self.model.now = self.app.app.now();
                Ok(())
            }
        }
    }

    /// Authenticates a token, in agreement with the model.
    async fn authenticate(&self, token: usize) -> Result<Option<Caller>, TestCaseError> {
        let caller = self.caller(token).await;
        let told = caller.as_ref().map(|_| ()).map_err(|reason| *reason);
        self.met.borrow_mut().extend(told.err());
        prop_assert_eq!(told, self.model.check(token), "token {}", token);
        Ok(caller.ok())
    }

    async fn create(
        &mut self,
        caller: &Caller,
        user: usize,
        ttl_secs: Option<u8>,
        expected: Result<(), Reason>,
    ) -> Result<(), TestCaseError> {
        let expires = ttl_secs.map(|ttl| self.model.after(ttl).to_parts());
        let request = CreateToken {
            user_id: self.users[user].clone(),
            expire_time: expires,
            ..CreateToken::default()
        };
        let created = self.app.app.create_token(caller, request).await;
        let told = created.as_ref().map(|_| ()).map_err(Error::reason);
        self.met.borrow_mut().extend(told.err());
        prop_assert_eq!(told, expected);
        if let Ok(created) = created {
            let text = created.text.expose().to_owned();
            self.tokens.push((created.token.id.to_string(), text));
        }
        Ok(())
    }

    /// Lists the live tokens, and all of them.
    async fn list(&self, caller: &Caller, by: usize, user: usize) -> Result<(), TestCaseError> {
        for include_ended in [false, true] {
            let request = ListTokens {
                page: PageRequest {
                    size: 250,
                    ..PageRequest::default()
                },
                user_id: self.users[user].clone(),
                include_ended,
                ..ListTokens::default()
            };
            let listed = self.app.app.list_tokens(caller, request).await;
            let listed = listed.map(|page| {
                let ids = page.items.into_iter().map(|token| token.id.to_string());
                ids.collect::<Vec<_>>()
            });
            let expected = self.model.list(by, user, include_ended).map(|tokens| {
                // By create time, then ID.
                let mut tokens: Vec<_> = tokens
                    .into_iter()
                    .map(|(time, n)| (time, self.tokens[n].0.clone()))
                    .collect();
                tokens.sort();
                tokens.into_iter().map(|(_, id)| id).collect::<Vec<_>>()
            });
            prop_assert_eq!(listed.map_err(|e| e.reason()), expected);
        }
        Ok(())
    }

    async fn rotate(&mut self, by: usize, token: usize, grace: u8) -> Result<(), TestCaseError> {
        let Some(caller) = self.authenticate(by).await? else {
            return Ok(());
        };
        let request = RotateToken {
            token_id: self.tokens[token].0.clone(),
            grace_period: Some((grace.into(), 0)),
            expire_time: None,
            never_expires: false,
        };
        let rotated = self.app.app.rotate_token(&caller, request).await;
        let told = rotated.as_ref().map(|_| ()).map_err(Error::reason);
        self.met.borrow_mut().extend(told.err());
        prop_assert_eq!(told, self.model.rotate(by, token, grace));
        if let Ok(rotated) = rotated {
            let text = rotated.text.expose().to_owned();
            self.tokens.push((rotated.token.id.to_string(), text));
        }
        Ok(())
    }

    async fn delete(&mut self, by: usize, token: usize) -> Result<(), TestCaseError> {
        let Some(caller) = self.authenticate(by).await? else {
            return Ok(());
        };
        let deleted = self
            .app
            .app
            .delete_token(&caller, &self.tokens[token].0)
            .await;
        let expected = self.model.delete(by, token);
        let deleted = deleted.map(Option::unwrap_or_default);
        prop_assert_eq!(deleted.map_err(|e| e.reason()), expected);
        Ok(())
    }
}

#[test]
fn use_cases_agree_with_the_model() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let app = runtime.block_on(TestApp::start());
    let (number, met) = (Cell::new(0), RefCell::default());
    let config = ProptestConfig::with_cases(256);
    proptest!(config, |(steps in prop::collection::vec(step(), 40))| {
        number.set(number.get() + 1);
        runtime.block_on(async {
            let mut run = Run::start(&app, &met, number.get()).await;
            for step in steps {
                run.step(step).await?;
            }
            for token in 0..run.tokens.len() {
                run.authenticate(token).await?;
            }
            Ok::<(), TestCaseError>(())
        })?;
    });
    // The control: every refusal occurred.
    for reason in [
        Reason::TokenDeleted,
        Reason::TokenExpired,
        Reason::UserDeactivated,
        Reason::ParentInvalid,
        Reason::LineageTooDeep,
        Reason::PermissionDenied,
        Reason::TargetDeactivated,
        Reason::OutlivesParent,
        Reason::TokenDisabled,
        Reason::AlreadyRotated,
    ] {
        assert!(met.borrow().contains(&reason), "{reason:?} was never met");
    }
}
