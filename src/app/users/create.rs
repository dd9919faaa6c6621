//! Creates people and machine users.

use crate::{
    domain::{
        id::UserId,
        note::Note,
        reason::Reason,
        secret::Secret,
        user::{Role, User, UserKind, Username},
    },
    store::{Tx, audit, users},
};

use super::{
    super::{
        App, Error,
        authz::{self, Action, Relation},
        caller::Caller,
        error::{Checked, Denied, FieldError, Noun},
        passwords::{NewPassword, PasswordHash},
    },
    MAX_MACHINES, wrong_type,
};

/// A request to create a user, not yet checked.
#[derive(Clone, Debug)]
pub struct CreateUser {
    /// The username.
    pub username: String,
    /// A description for people.
    pub description: String,
    /// The role.
    pub role: Checked<Role>,
    /// Whether to create a person or a machine user.
    pub kind: Checked<NewUser>,
}

/// The kind of a new user, with the fields that only this kind has.
#[derive(Clone, Debug)]
pub enum NewUser {
    /// A person.
    Person {
        /// The password.
        password: Secret,
    },
    /// A machine user.
    Machine {
        /// The person who will own it; `None`: the caller.
        owner_id: Option<String>,
    },
}

impl App {
    /// Creates a person, for admins only, or a machine user. People own the machine users that they create; an admin
    /// may name another owner.
    pub async fn create_user(&self, caller: &Caller, request: CreateUser) -> Result<User, Error> {
        let (action, relation) = match &request.kind {
            Ok(NewUser::Person { .. }) => (Action::CreatePerson, Relation::OtherPerson),
            Ok(NewUser::Machine { .. }) | Err(_) => (Action::CreateMachine, machine_maker(caller)),
        };
        authz::may(caller, action, relation)?;
        if let Ok(role) = request.role {
            check_role(caller, role)?;
        }
        let role = request.role?;
        let username = Username::parse(&request.username)
            .map_err(|error| FieldError::new("username", error))?;
        let description = Note::parse(request.description)
            .map_err(|error| FieldError::new("description", error))?;
        let (password_hash, owner_id) = match request.kind? {
            NewUser::Person { password } => {
                let password = NewPassword::parse(&password, username.as_str())
                    .map_err(|error| FieldError::new("password", error))?;
                (Some(self.hasher().hash(password).await?), None)
            }
            NewUser::Machine { owner_id } => (None, owner_id),
        };

        let now = self.now();
        let id = UserId::generate(now);
        let caller = caller.clone();
        self.write(move |tx| {
            let caller = caller.refresh(tx, now)?;
            let permit = caller.may(action, relation)?;
            check_role(&caller, role)?;
            let kind = match &password_hash {
                Some(_) => UserKind::Person,
                None => UserKind::Machine {
                    owner: owner(tx, &caller, owner_id.as_deref())?,
                },
            };
            if users::username_taken(tx, &username)? {
                return Err(Error::UsernameTaken);
            }
            let user = User {
                id,
                username: username.clone(),
                kind,
                role,
                description: description.clone(),
                create_time: now,
                update_time: now,
                deactivated: false,
            };
            users::insert(tx, &user, password_hash.as_ref().map(PasswordHash::as_str))?;
            audit::append(tx, permit.event(now, id))?;
            Ok(user)
        })
        .await
    }
}

/// Only an admin may create admins.
fn check_role(caller: &Caller, role: Role) -> Result<(), Denied> {
    if role == Role::Admin && !caller.acts_as_admin() {
        return Err(Denied::Role);
    }
    Ok(())
}

/// The relation to check for creating a machine user: `Oneself` if the caller is a person, who can own one.
fn machine_maker(caller: &Caller) -> Relation {
    match caller.user() {
        Some(user) if user.owner().is_none() => Relation::Oneself,
        _ => Relation::OtherPerson,
    }
}

/// The person who will own a new machine user, if the caller may choose that owner.
fn owner(tx: &Tx<'_>, caller: &Caller, owner_id: Option<&str>) -> Result<UserId, Error> {
    let owner = match owner_id {
        Some(id)
            if caller
                .user_id()
                .is_some_and(|own| own.encode().as_str() == id) =>
        {
            find_owner(tx, id)?.id
        }
        Some(id) if caller.is_local() || caller.acts_as_admin() => find_owner(tx, id)?.id,
        Some(_) => return Err(Denied::Role.into()),
        // A machine owns nothing, so an admin's machine must name a person.
        None if caller.user().is_some_and(|user| user.owner().is_some()) => {
            return Err(Denied::Role.into());
        }
        None => caller
            .user_id()
            .ok_or_else(|| FieldError::new("owner_id", "is required"))?,
    };
    check_machine_limit(tx, owner)?;
    Ok(owner)
}

/// The person with this ID, who is to own a machine user.
pub(super) fn find_owner(tx: &Tx<'_>, id: &str) -> Result<User, Error> {
    let found = match UserId::parse(id) {
        Some(id) => users::find(tx, id)?,
        None => None,
    };
    let owner = found.ok_or(Error::NotFound(Noun::Owner))?;
    if owner.owner().is_some() {
        return Err(wrong_type(
            "a machine owns nothing: name a person as the owner",
        ));
    }
    Ok(owner)
}

/// Enforces the maximum number of machine users per owner.
pub(super) fn check_machine_limit(tx: &Tx<'_>, owner: UserId) -> Result<(), Error> {
    if users::count_machines(tx, owner)? >= MAX_MACHINES {
        return Err(Error::Quota {
            reason: Reason::TooManyMachines,
            problem: format!("a person may own at most {MAX_MACHINES} machines"),
        });
    }
    Ok(())
}
