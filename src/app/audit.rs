//! The audit log: recording reads, and listing.

use crate::{
    domain::{
        audit::{AuditEvent, LinkedRow},
        audit_action::ACTIONS,
        id::{RequestId, TokenId, UserId},
        page::{PageQuery, Position},
        time::Timestamp,
        user::Username,
    },
    store::{
        Tx, audit,
        audit_search::{self, Actor, AuditFilter},
        tokens, users,
    },
};

use super::{
    App, Error,
    authz::{self, Action, Relation},
    caller::Caller,
    error::{Checked, FieldError},
    page::{Cursor, Page, PageRequest},
    tokens::{TimeParts, parse_time},
    users::Usernames,
};

/// The actor of what the server does on its own.
pub(super) const SYSTEM_ACTOR: &str = "system";

/// An audit row for something that the server did on its own.
pub(super) fn system_event(
    now: Timestamp,
    action: &'static str,
    target: impl ToString,
) -> AuditEvent {
    debug_assert!(ACTIONS.contains(&action), "{action} is in no list");
    AuditEvent {
        time: now,
        actor: SYSTEM_ACTOR.to_owned(),
        credential_kind: "",
        credential_id: String::new(),
        target: target.to_string(),
        successor_id: String::new(),
        action,
        outcome: "ok",
        count: 1,
        request_id: RequestId::generate(now).to_string(),
        client_request_id: String::new(),
        ip: String::new(),
        user_agent: String::new(),
    }
}

/// The audit row for a migration of the database, by the server or by a local user's command.
pub fn migration_event(now: Timestamp, uid: Option<u32>) -> AuditEvent {
    let event = AuditEvent {
        user_agent: concat!("hallpass/", env!("CARGO_PKG_VERSION")).to_owned(),
        ..system_event(now, "data.migrate", "")
    };
    match uid {
        None => event,
        Some(uid) => AuditEvent {
            actor: format!("local:{uid}"),
            credential_kind: "local",
            ..event
        },
    }
}

impl App {
    /// Records that an admin reads another user's data, before the caller gets to see any of it.
    pub(super) async fn record_read(
        &self,
        caller: &Caller,
        action: Action,
        relation: Relation,
        target: impl ToString,
    ) -> Result<(), Error> {
        if !relation.is_foreign() {
            return Ok(());
        }
        let (now, caller, target) = (self.now(), caller.clone(), target.to_string());
        self.write(move |tx| {
            let caller = caller.refresh(tx, now)?;
            audit::append(tx, caller.may(action, relation)?.event(now, &target))?;
            Ok(())
        })
        .await
    }
}

/// Maximum number of reads per call. If a filter matches little, the page comes back short.
const MAX_READS: u32 = 20;

/// Filter of the audit log, as the client sent it. A row must match everything that is set; an empty text is not.
#[derive(Clone, Debug)]
pub struct AuditSelection {
    /// Who did it, or with which token: a username, user ID or token ID, `local`, `local:UID` or `system`.
    pub actor: String,
    /// The user or token that it was done to: a username, user ID or token ID.
    pub target: String,
    /// The text of an action or a group of actions, and the actions that it stands for.
    pub action: Checked<(String, Vec<&'static str>)>,
    /// The earliest time, inclusive.
    pub time_from: Option<TimeParts>,
    /// The latest time, exclusive.
    pub time_before: Option<TimeParts>,
}

impl Default for AuditSelection {
    fn default() -> Self {
        Self {
            actor: String::new(),
            target: String::new(),
            action: Ok((String::new(), Vec::new())),
            time_from: None,
            time_before: None,
        }
    }
}

/// The user or token that a filter's text names.
enum Party {
    User(UserId),
    Token(TokenId, Option<UserId>),
}

impl App {
    /// Lists the audit log by sequence number, or by time if there is a filter. With a filter, a page may be short
    /// without being the last.
    pub async fn list_audit(
        &self,
        caller: &Caller,
        selection: AuditSelection,
        page: PageRequest,
    ) -> Result<(Page<LinkedRow>, Usernames), Error> {
        authz::may(caller, Action::ReadAudit, Relation::OtherPerson)?;
        let (query, filter) = selection.parse()?;
        let cursor = Cursor::parse(&page, query, self.page_key())?;
        let filter = self.begin_reading(caller, selection, filter).await?;
        let page = if filter.is_empty() {
            self.list_all_audit(caller, &cursor).await?
        } else {
            self.search_audit(caller, &cursor, filter).await?
        };
        let usernames = self.usernames_in(&page.items).await?;
        Ok((page, usernames))
    }

    /// Completes a filter by the users and tokens that the selection names, and records the read before its answer.
    pub(super) async fn begin_reading(
        &self,
        caller: &Caller,
        selection: AuditSelection,
        filter: AuditFilter,
    ) -> Result<AuditFilter, Error> {
        let filter = self
            .read_as(caller, move |tx, caller| {
                caller.may(Action::ReadAudit, Relation::OtherPerson)?;
                selection.find_parties(tx, filter)
            })
            .await?;
        self.record_read(caller, Action::ReadAudit, Relation::OtherPerson, "")
            .await?;
        Ok(filter)
    }

    /// The names of the actors and targets of these rows.
    pub(super) async fn usernames_in(&self, rows: &[LinkedRow]) -> Result<Usernames, Error> {
        let named = rows
            .iter()
            .flat_map(|linked| [&linked.row.actor, &linked.row.target]);
        // A target may be a token's ID, for which no user is found.
        self.usernames(named.filter_map(|id| UserId::parse(id)))
            .await
    }

    async fn list_all_audit(
        &self,
        caller: &Caller,
        cursor: &Cursor,
    ) -> Result<Page<LinkedRow>, Error> {
        let (reverse, limit) = (cursor.reverse, cursor.limit());
        let after = cursor.after.map(|position| position.major);
        let items = self
            .read_as(caller, move |tx, caller| {
                caller.may(Action::ReadAudit, Relation::OtherPerson)?;
                let rows = audit::list(tx, after, reverse, limit)?;
                Ok(audit::link(tx, rows)?)
            })
            .await?;
        Ok(cursor.page(items, self.page_key(), |linked| Position {
            major: linked.row.sequence,
            minor: 0,
        }))
    }

    async fn search_audit(
        &self,
        caller: &Caller,
        cursor: &Cursor,
        filter: AuditFilter,
    ) -> Result<Page<LinkedRow>, Error> {
        let reverse = cursor.reverse;
        let (mut items, mut next, mut wanted) = (Vec::new(), cursor.after, cursor.limit());
        for _ in 0..MAX_READS {
            let (filter, after) = (filter.clone(), next);
            let found = self
                .read_as(caller, move |tx, caller| {
                    caller.may(Action::ReadAudit, Relation::OtherPerson)?;
                    let found = audit_search::search(tx, &filter, after, reverse, wanted)?;
                    Ok::<_, Error>((audit::link(tx, found.rows)?, found.next))
                })
                .await?;
            let (rows, further) = found;
            wanted = wanted.saturating_sub(u32::try_from(rows.len()).unwrap_or(u32::MAX));
            items.extend(rows);
            next = further;
            if next.is_none() || wanted == 0 {
                break;
            }
        }
        Ok(cursor.page_until(items, next, self.page_key(), |linked| {
            AuditFilter::position(&linked.row)
        }))
    }
}

impl AuditSelection {
    /// The query that page tokens are bound to, and the filter without its actor and target, which need the store.
    pub(super) fn parse(&self) -> Result<(PageQuery, AuditFilter), FieldError> {
        let (action, actions) = self.action.clone()?;
        let filter = AuditFilter {
            actions,
            from: parse_time("filter.time_from", self.time_from)?,
            before: parse_time("filter.time_before", self.time_before)?,
            ..AuditFilter::default()
        };
        let mut query = PageQuery::new("hallpass.v1.AuditService/ListAuditEvents");
        let texts = [&self.actor, &self.target, &action];
        if filter.is_empty() && texts.iter().all(|text| text.is_empty()) {
            return Ok((query, filter));
        }
        for text in texts {
            query = query.field(text.as_bytes());
        }
        for time in [filter.from, filter.before] {
            let micros = time.map(|time| time.as_micros().to_be_bytes().to_vec());
            query = query.field(&micros.unwrap_or_default());
        }
        Ok((query, filter))
    }

    /// Adds the actor and the target to `filter`.
    pub(super) fn find_parties(
        &self,
        tx: &Tx<'_>,
        filter: AuditFilter,
    ) -> Result<AuditFilter, Error> {
        let mut filter = filter;
        match self.actor.as_str() {
            "" => {}
            "local" => filter.actor = Some(Actor::Local),
            text if text == SYSTEM_ACTOR || is_local(text) => {
                filter.actor = Some(Actor::Is(text.to_owned()));
            }
            text => match find_party(tx, "filter.actor", text)? {
                Party::User(id) => filter.actor = Some(Actor::Is(id.to_string())),
                Party::Token(id, user) => {
                    filter.credential = Some(id);
                    filter.actor = user.map(|user| Actor::Is(user.to_string()));
                }
            },
        }
        if !self.target.is_empty() {
            filter.target = Some(match find_party(tx, "filter.target", &self.target)? {
                Party::User(id) => id.to_string(),
                Party::Token(id, _) => id.to_string(),
            });
        }
        Ok(filter)
    }
}

/// Whether `text` is `local:UID`.
fn is_local(text: &str) -> bool {
    let uid = text.strip_prefix("local:");
    uid.is_some_and(|uid| uid.parse::<u32>().is_ok())
}

/// The user or token that `text` names. Deleted ones are found, too, and a purged token as long as the audit log
/// mentions it, because it is the log that is searched.
fn find_party(tx: &Tx<'_>, field: &'static str, text: &str) -> Result<Party, Error> {
    if let (Some(user), Some(token)) = (UserId::parse(text), TokenId::parse(text)) {
        if users::username(tx, user)?.is_some() {
            return Ok(Party::User(user));
        }
        let found = tokens::find(tx, token)?;
        if found.is_some() || audit::is_target(tx, text)? {
            return Ok(Party::Token(token, found.map(|token| token.user_id)));
        }
    }
    let Ok(name) = Username::parse(text) else {
        let problem = "is neither a user's name or ID nor a token's ID";
        return Err(FieldError::new(field, problem).into());
    };
    let id = users::find_id(tx, &name)?;
    let id = id.ok_or_else(|| FieldError::new(field, format!("there is no user {name}")))?;
    Ok(Party::User(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recorded_action_can_be_filtered_for() {
        let never_recorded = [
            "server.get_counts",
            "server.get_status",
            "token.verify",
            "user.get_current",
        ];
        for rule in authz::RULES {
            let is_listed = ACTIONS.contains(&rule.audit);
            assert_ne!(is_listed, never_recorded.contains(&rule.audit), "{rule:?}");
        }
    }
}
