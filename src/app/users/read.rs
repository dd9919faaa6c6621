//! Getting, listing and counting users.

use crate::{
    domain::{
        page::{PageQuery, Position},
        user::{User, Username},
    },
    store::users::{self, KindFilter, UserFilter},
};

use super::{
    super::{
        App, Error,
        authz::{self, Action, Relation},
        caller::Caller,
        error::{Checked, FieldError, Noun},
        page::{Cursor, Page, PageRequest},
    },
    find_target, wrong_type,
};

/// Which users to list.
#[derive(Clone, Debug)]
pub struct ListUsers {
    /// Which page.
    pub page: PageRequest,
    /// Only those that are, or are not, deactivated.
    pub deactivated: Checked<Option<bool>>,
    /// Only people, or only machines.
    pub kind: Checked<Option<KindFilter>>,
}

impl App {
    /// Whether the caller may be told who it is.
    pub fn may_know_itself(&self, caller: &Caller) -> Result<(), Error> {
        Ok(authz::may(
            caller,
            Action::GetCurrentUser,
            Relation::Oneself,
        )?)
    }

    /// The caller's own user. A local caller has none.
    pub fn current_user(&self, caller: &Caller) -> Result<User, Error> {
        self.may_know_itself(caller)?;
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
        if name.is_empty() {
            return Err(FieldError::new("username", "is required").into());
        }
        let username = Username::parse(name).map_err(|_| Error::NotFound(Noun::User))?;
        let (user, relation) = self
            .read_as(caller, move |tx, caller| {
                let user = users::find_by_username(tx, &username)?;
                let user = user.ok_or(Error::NotFound(Noun::User))?;
                let relation = Relation::to(caller, user.id, Some(&user));
                let permit = caller.may(Action::GetUser, relation);
                permit.map_err(|_| Error::NotFound(Noun::User))?;
                Ok((user, relation))
            })
            .await?;
        self.record_read(caller, Action::GetUser, relation, user.id)
            .await?;
        Ok(user)
    }

    /// Lists users by (create time, ID): all of them for an admin, oneself and one's machines for others.
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
                caller.may(Action::ListUsers, seen(&filter))?;
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
            caller.may(Action::ListUsers, seen(&filter))?;
            Ok(users::count(tx, &filter)?)
        })
        .await
    }
}

/// What those whom the filter lets be seen are to the caller.
const fn seen(filter: &UserFilter) -> Relation {
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
