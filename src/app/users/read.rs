//! Gets, lists and counts users.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    domain::{
        id::UserId,
        page::{PageQuery, Position},
        time::Timestamp,
        user::{User, Username},
    },
    store::{
        Tx, tokens,
        users::{self, KindFilter, UserFilter},
    },
};

use super::{
    super::{
        App, Error,
        authz::{self, Action, Relation},
        caller::Caller,
        error::{Checked, FieldError, Noun},
        page::{Cursor, Page, PageRequest},
        permit::CallerInTx,
    },
    find_target, wrong_type,
};

/// What would stop working with a user.
#[derive(Clone, Copy, Debug, Default)]
pub struct UserImpact {
    /// How many live tokens the user has.
    pub live_tokens: u32,
    /// When any of these was last used.
    pub last_use_time: Option<Timestamp>,
    /// How many machines it owns: they go on without it.
    pub machines: u32,
}

impl UserImpact {
    fn find(tx: &Tx<'_>, user: UserId, now: Timestamp) -> Result<Self, Error> {
        let live = tokens::count_live(tx, user, now)?;
        Ok(Self {
            live_tokens: u32::try_from(live).unwrap_or(u32::MAX),
            last_use_time: tokens::last_use_of_live(tx, user, now)?,
            machines: u32::try_from(users::count_machines(tx, user)?).unwrap_or(u32::MAX),
        })
    }
}

/// Usernames by ID, including deleted users.
pub type Usernames = BTreeMap<UserId, Username>;

/// A request to list users.
#[derive(Clone, Debug)]
pub struct ListUsers {
    /// The requested page.
    pub page: PageRequest,
    /// Only deactivated users, or only active ones.
    pub deactivated: Checked<Option<bool>>,
    /// Only people, or only machine users.
    pub kind: Checked<Option<KindFilter>>,
}

impl App {
    /// Whether the caller may read its own user.
    pub fn may_get_current_user(&self, caller: &Caller) -> Result<(), Error> {
        Ok(authz::may(
            caller,
            Action::GetCurrentUser,
            Relation::Oneself,
        )?)
    }

    /// The caller's own user. A local caller has none.
    pub fn current_user(&self, caller: &Caller) -> Result<User, Error> {
        self.may_get_current_user(caller)?;
        caller.user().cloned().ok_or_else(|| {
            wrong_type("the caller is local, a process on this machine: no user of this server")
        })
    }

    /// Gets a user by ID.
    pub async fn get_user(&self, caller: &Caller, id: &str) -> Result<User, Error> {
        let id = id.to_owned();
        let (user, relation) = self
            .read_as(caller, move |tx, caller| {
                let (user, permit) = find_target(tx, caller, Action::GetUser, "id", &id)?;
                Ok((user, permit.relation()))
            })
            .await?;
        self.record_read(caller, Action::GetUser, relation, user.id)
            .await?;
        Ok(user)
    }

    /// Gets a user by name.
    pub async fn get_user_by_username(&self, caller: &Caller, name: &str) -> Result<User, Error> {
        authz::admit(caller, Action::GetUser)?;
        let name = name.to_owned();
        let (user, relation) = self
            .read_as(caller, move |tx, caller| find_by_name(tx, caller, &name))
            .await?;
        self.record_read(caller, Action::GetUser, relation, user.id)
            .await?;
        Ok(user)
    }

    /// Finds a user by ID or username before an action on it. The action is audited, so this read is not, unless it
    /// includes the impact on another user.
    pub async fn look_up_user(
        &self,
        caller: &Caller,
        id: &str,
        name: &str,
        with_impact: bool,
    ) -> Result<(User, Option<UserImpact>), Error> {
        authz::admit(caller, Action::GetUser)?;
        let (id, name, now) = (id.to_owned(), name.to_owned(), self.now());
        let (user, relation, impact) = self
            .read_as(caller, move |tx, caller| {
                let (user, relation) = if id.is_empty() && !name.is_empty() {
                    find_by_name(tx, caller, &name)?
                } else {
                    let (user, permit) = find_target(tx, caller, Action::GetUser, "id", &id)?;
                    (user, permit.relation())
                };
                let impact = with_impact.then(|| UserImpact::find(tx, user.id, now));
                Ok((user, relation, impact.transpose()?))
            })
            .await?;
        if with_impact {
            self.record_read(caller, Action::GetUser, relation, user.id)
                .await?;
        }
        Ok((user, impact))
    }

    /// Lists users by (create time, ID): all users for an admin, and oneself and one's machine users for others.
    pub async fn list_users(
        &self,
        caller: &Caller,
        request: ListUsers,
    ) -> Result<Page<User>, Error> {
        authz::may(caller, Action::ListUsers, Relation::Oneself)?;
        let filter = visible(caller, request.deactivated?, request.kind?);
        let visible_to = filter
            .visible_to
            .map(|id| id.to_string())
            .unwrap_or_default();
        let kind = match filter.kind {
            None => "",
            Some(KindFilter::People) => "people",
            Some(KindFilter::Machines) => "machines",
        };
        let query = PageQuery::new("hallpass.v1.UserService/ListUsers")
            .field(visible_to.as_bytes())
            .field(&filter.deactivated.map_or(vec![], |yes| vec![u8::from(yes)]))
            .field(kind.as_bytes());
        let cursor = Cursor::parse(&request.page, query, self.page_key())?;
        if filter.visible_to.is_none() {
            self.record_read(caller, Action::ListUsers, Relation::OtherPerson, "")
                .await?;
        }
        let (after, reverse, limit) = (cursor.after, cursor.reverse, cursor.limit());
        let items = self
            .read_as(caller, move |tx, caller| {
                caller.may(Action::ListUsers, relation_of(&filter))?;
                Ok(users::list(tx, &filter, after, reverse, limit)?)
            })
            .await?;
        Ok(cursor.page(items, self.page_key(), |user| Position {
            major: user.create_time.as_micros(),
            minor: user.id.id().as_u128(),
        }))
    }

    /// Counts what [`App::list_users`] would list.
    pub async fn count_users(
        &self,
        caller: &Caller,
        deactivated: Checked<Option<bool>>,
    ) -> Result<u64, Error> {
        authz::may(caller, Action::ListUsers, Relation::Oneself)?;
        let filter = visible(caller, deactivated?, None);
        self.read_as(caller, move |tx, caller| {
            caller.may(Action::ListUsers, relation_of(&filter))?;
            Ok(users::count(tx, &filter)?)
        })
        .await
    }

    /// The usernames of those of these users that exist or existed, in a single transaction.
    pub(in crate::app) async fn usernames(
        &self,
        ids: impl Iterator<Item = UserId>,
    ) -> Result<Usernames, Error> {
        let ids: BTreeSet<_> = ids.collect();
        if ids.is_empty() {
            return Ok(Usernames::new());
        }
        self.read(move |tx| {
            let mut names = Usernames::new();
            for id in &ids {
                if let Some(name) = users::username(tx, *id)? {
                    names.insert(*id, name);
                }
            }
            Ok::<_, Error>(names)
        })
        .await
    }
}

/// The user with this name, if the caller may see it.
fn find_by_name(
    tx: &Tx<'_>,
    caller: &CallerInTx<'_>,
    name: &str,
) -> Result<(User, Relation), Error> {
    if name.is_empty() {
        return Err(FieldError::new("username", "is required").into());
    }
    let username = Username::parse(name).map_err(|_| Error::NotFound(Noun::User))?;
    let user = users::find_by_username(tx, &username)?;
    let user = user.ok_or(Error::NotFound(Noun::User))?;
    let relation = Relation::to(caller, user.id, Some(&user));
    let permit = caller.may(Action::GetUser, relation);
    permit.map_err(|_| Error::NotFound(Noun::User))?;
    Ok((user, relation))
}

/// The relation to check for the users that the filter selects.
const fn relation_of(filter: &UserFilter) -> Relation {
    match filter.visible_to {
        Some(_) => Relation::Oneself,
        None => Relation::OtherPerson,
    }
}

fn visible(caller: &Caller, deactivated: Option<bool>, kind: Option<KindFilter>) -> UserFilter {
    let visible_to = if caller.acts_as_admin() {
        None
    } else {
        caller.user_id()
    };
    UserFilter {
        visible_to,
        deactivated,
        kind,
    }
}
