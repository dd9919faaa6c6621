//! One random run: it holds tokens and checks the rights of each.

use std::{cell::RefCell, collections::BTreeMap, time::Duration};

use hallpass::{
    app::{
        Error,
        caller::{Caller, ClientInfo},
        tokens::{CreateToken, RotateToken, UpdateToken},
        verify::{Verification, VerifyToken},
    },
    domain::{id::RequestId, presented_token::PresentedToken, reason::Reason, token::Token},
};

use super::steps::{ADDRESSES, CIDRS, REQUESTED, SCOPES, Step};
use crate::test_app::{Person, TestApp};

/// One bit for each pair of scope and address.
pub(super) type Rights = u16;

#[derive(Debug)]
pub(super) struct HeldToken {
    pub(super) token: Token,
    pub(super) text: String,
    /// Its rights when it was created, and at the last check.
    pub(super) born: Rights,
    pub(super) last: Rights,
    /// Its current parent; a rotation passes it on.
    pub(super) parent: Option<usize>,
    pub(super) dead: bool,
}

pub(super) struct Run<'a> {
    pub(super) app: &'a TestApp,
    pub(super) owner: &'a Person,
    pub(super) local: Caller,
    pub(super) held: Vec<HeldToken>,
    pub(super) done: &'a RefCell<BTreeMap<&'static str, usize>>,
}

fn seconds(app: &TestApp, secs: u8) -> (i64, i32) {
    app.app
        .now()
        .plus(Duration::from_secs(secs.into()))
        .to_parts()
}

fn texts(of: &[&str]) -> Vec<String> {
    of.iter().map(ToString::to_string).collect()
}

impl Run<'_> {
    fn count(&self, what: &'static str) {
        *self.done.borrow_mut().entry(what).or_default() += 1;
    }

    async fn power(&self, text: &str) -> Rights {
        let mut power = 0;
        for (bit, (scope, ip)) in REQUESTED
            .iter()
            .flat_map(|scope| ADDRESSES.map(|ip| (*scope, ip)))
            .enumerate()
        {
            let ip = std::net::IpAddr::from(ip).to_string();
            let question = VerifyToken::parse(PresentedToken::parse(text), [scope], &ip).unwrap();
            let app = &self.app.app;
            let answer = app.verify_credential(question, self.local.client()).await;
            let answer = answer.unwrap();
            power |= Rights::from(matches!(answer, Verification::Valid(_))) << bit;
        }
        power
    }

    async fn caller(&self, token: usize) -> Option<Caller> {
        let origin = ClientInfo {
            request_id: RequestId::generate(self.app.app.now()),
            client_request_id: None,
            ip: Some(ADDRESSES[0].into()),
            user_agent: String::new(),
        };
        let text = &self.held[token].text;
        self.app
            .app
            .authenticate(text, &origin.clone().into())
            .await
            .ok()
    }

    fn nth(&self, token: usize) -> Option<usize> {
        token.checked_rem(self.held.len())
    }

    async fn hold(&mut self, token: Token, text: String, parent: Option<usize>) -> Rights {
        let born = self.power(&text).await;
        self.held.push(HeldToken {
            token,
            text,
            born,
            last: born,
            parent,
            dead: false,
        });
        born
    }

    /// Checks every token. Only `enabled` and its children may have gained rights since the last check.
    pub(super) async fn look(&mut self, enabled: Option<usize>) -> Result<(), String> {
        let mut powers = Vec::new();
        for held in &self.held {
            powers.push(self.power(&held.text).await);
        }
        for (number, (held, power)) in self.held.iter().zip(&powers).enumerate() {
            let may_grow = enabled.is_some_and(|token| token == number || held.parent == enabled);
            let bounds = [
                ("its first rights", held.born),
                (
                    "its earlier rights",
                    if may_grow { held.born } else { held.last },
                ),
                (
                    "its parent's rights",
                    held.parent.map_or(held.born, |parent| powers[parent]),
                ),
                (
                    "no rights, since it has ended",
                    if held.dead { 0 } else { held.born },
                ),
            ];
            for (bound, most) in bounds {
                if power & !most != 0 {
                    return Err(format!(
                        "token {number} may do more than {bound}: {power:b}, {most:b}"
                    ));
                }
            }
        }
        for (held, power) in self.held.iter_mut().zip(powers) {
            held.last = power;
        }
        Ok(())
    }

    pub(super) async fn step(&mut self, step: Step) -> Result<(), String> {
        let mut enabled = None;
        match step {
            Step::Create {
                by,
                scopes,
                cidrs,
                ttl,
            } => self.create(by, scopes, cidrs, ttl).await?,
            Step::Rotate {
                by,
                token,
                grace,
                ttl,
            } => {
                let by = by.and_then(|by| self.nth(by));
                self.rotate(by, token, grace, ttl).await?;
            }
            Step::RotateItself { token, grace, ttl } => {
                self.rotate(self.nth(token), token, grace, ttl).await?;
            }
            Step::Update {
                token,
                scopes,
                cidrs,
                disabled,
            } => {
                let Some(token) = self.nth(token) else {
                    return Ok(());
                };
                let request = UpdateToken {
                    token_id: self.held[token].token.id.to_string(),
                    note: None,
                    disabled,
                    scopes: texts(SCOPES[scopes]),
                    allowed_cidrs: texts(CIDRS[cidrs]),
                };
                let updated = self.app.app.update_token(&self.local, request).await;
                if self.refused(updated)?.is_some() {
                    self.count("updated");
                    enabled = (disabled == Some(false)).then_some(token);
                }
            }
            Step::Delete { token } => {
                let Some(token) = self.nth(token) else {
                    return Ok(());
                };
                let id = self.held[token].token.id.to_string();
                let children = self.app.app.delete_token(&self.local, &id).await;
                if self
                    .refused(children)?
                    .flatten()
                    .is_some_and(|children| children > 0)
                {
                    self.count("deleted with children");
                }
                for (number, held) in self.held.iter_mut().enumerate() {
                    held.dead |= number == token || held.parent == Some(token);
                }
            }
            Step::Advance { secs } => self.app.clock.advance(Duration::from_secs(secs.into())),
        }
        self.look(enabled).await
    }

    /// `None`: the step was refused for a legitimate reason.
    fn refused<T>(&self, result: Result<T, Error>) -> Result<Option<T>, String> {
        match result {
            Ok(done) => Ok(Some(done)),
            Err(error)
                if [Reason::Internal, Reason::StoreUnavailable].contains(&error.reason()) =>
            {
                Err(format!("{error:?}"))
            }
            Err(_) => {
                self.count("refused");
                Ok(None)
            }
        }
    }

    async fn create(
        &mut self,
        by: Option<usize>,
        scopes: usize,
        cidrs: usize,
        ttl: Option<u8>,
    ) -> Result<(), String> {
        let by = by.and_then(|by| self.nth(by));
        let caller = match by {
            None => self.local.clone(),
            Some(by) => match self.caller(by).await {
                None => return Ok(()),
                Some(caller) => caller,
            },
        };
        let request = CreateToken {
            user_id: self.owner.id.clone(),
            expire_time: ttl.map(|ttl| seconds(self.app, ttl)),
            scopes: texts(SCOPES[scopes]),
            allowed_cidrs: texts(CIDRS[cidrs]),
            ..CreateToken::default()
        };
        let created = self.app.app.create_token(&caller, request).await;
        if let Some(created) = self.refused(created)? {
            let text = created.text.expose().to_owned();
            self.hold(created.token, text, by).await;
            self.count(if by.is_some() { "child" } else { "root" });
        }
        Ok(())
    }

    async fn rotate(
        &mut self,
        by: Option<usize>,
        token: usize,
        grace: u8,
        ttl: Option<u8>,
    ) -> Result<(), String> {
        let Some(token) = self.nth(token) else {
            return Ok(());
        };
        let caller = match by {
            None => self.local.clone(),
            Some(by) => match self.caller(by).await {
                None => return Ok(()),
                Some(caller) => caller,
            },
        };
        let old = &self.held[token];
        let (before, parent, lifetime) = (old.last, old.parent, old.token.lifetime());
        let request = RotateToken {
            token_id: old.token.id.to_string(),
            grace_period: Some((grace.into(), 0)),
            expire_time: ttl.map(|ttl| seconds(self.app, ttl)),
            never_expires: false,
        };
        let rotated = self.app.app.rotate_token(&caller, request).await;
        let Some(rotated) = self.refused(rotated)? else {
            return Ok(());
        };
        let next = rotated.token;
        if by == Some(token)
            && lifetime.is_some_and(|old| next.lifetime().is_none_or(|new| new > old))
        {
            return Err("a token gave itself a longer life".to_owned());
        }
        let number = self.held.len();
        let power = self
            .hold(next, rotated.text.expose().to_owned(), parent)
            .await;
        if power & !before != 0 {
            return Err(format!("a successor may do more: {power:b}, {before:b}"));
        }
        if let Some(by) = by
            && power & !self.held[by].last != 0
        {
            return Err(format!("more than the token that made it: {power:b}"));
        }
        let now = self.app.app.now();
        for held in &mut self.held {
            if held.parent == Some(token) && !held.dead && held.token.is_live(now) {
                held.parent = Some(number);
            }
        }
        self.held[token].dead |= grace == 0;
        self.held[token].token = rotated.predecessor;
        self.count(match by {
            None => "rotated by the command line",
            Some(by) if by == token => "rotated by itself",
            Some(_) => "rotated by another",
        });
        Ok(())
    }
}
