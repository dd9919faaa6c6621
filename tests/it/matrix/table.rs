//! The expected permissions as data, written independently. Nothing is taken from the
//! code under test but the fields of the requests.

use super::{
    callers::{Caller, Kind},
    fixture::Target,
};
use crate::client::Procedure;

/// Whose data an admin may act on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Admin {
    All,
    Machines,
}

/// How requests for foreign or unknown targets are refused.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Foreign {
    Denied,
    NotFound,
}

/// The meaning of a request without a target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Empty {
    Oneself,
    InvalidField,
}

/// Who may call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Permission {
    /// Depends on the relation of the target to the caller.
    To {
        oneself: bool,
        owner: bool,
        admin: Admin,
        foreign: Foreign,
        empty: Empty,
    },
    /// Everyone; the reply has this many users.
    See,
    Everyone,
    /// Also callers without a token; the reply has this much.
    Anyone,
    /// Only people, since a machine owns nothing.
    People,
    AdminPeople,
    Admins,
}

/// The state of the target that is required.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Precondition {
    Nothing,
    Machine,
    Person,
    NoMachines,
    Successor,
}

/// The expectation for a procedure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    /// `package.Service/Method`.
    pub(crate) procedure: &'static str,
    /// Distinguishes several requests of the same procedure.
    pub(super) variant: &'static str,
    pub(crate) scope: Option<&'static str>,
    /// Scopes that are needed besides.
    pub(crate) also: &'static [&'static str],
    pub(super) may: Permission,
    pub(super) needs: Precondition,
    /// Whether the procedure changes something.
    pub(super) changes: bool,
    /// Its action in the audit log.
    pub(super) audit: &'static str,
}

const TR: Option<&str> = Some("hallpass:tokens:read");
const TW: Option<&str> = Some("hallpass:tokens:write");
const TV: Option<&str> = Some("hallpass:tokens:verify");
const UR: Option<&str> = Some("hallpass:users:read");
const UW: Option<&str> = Some("hallpass:users:write");
const AR: Option<&str> = Some("hallpass:audit:read");
const AD: Option<&str> = Some("hallpass:admin");

const fn to(
    oneself: bool,
    owner: bool,
    admin: Admin,
    foreign: Foreign,
    empty: Empty,
) -> Permission {
    Permission::To {
        oneself,
        owner,
        admin,
        foreign,
        empty,
    }
}

/// Admins only: others are denied before any lookup.
const ADMINS: Permission = to(
    false,
    false,
    Admin::All,
    Foreign::Denied,
    Empty::InvalidField,
);
const HIDDEN: Permission = to(
    true,
    true,
    Admin::All,
    Foreign::NotFound,
    Empty::InvalidField,
);
const NOT_ONESELF: Permission = to(
    false,
    true,
    Admin::All,
    Foreign::NotFound,
    Empty::InvalidField,
);

const fn line(
    procedure: &'static str,
    audit: &'static str,
    scope: Option<&'static str>,
    may: Permission,
) -> Rule {
    Rule {
        procedure,
        variant: "",
        scope,
        also: &[],
        may,
        needs: Precondition::Nothing,
        changes: true,
        audit,
    }
}

impl Rule {
    const fn reads(self) -> Self {
        Self {
            changes: false,
            ..self
        }
    }
    const fn needs(self, needs: Precondition) -> Self {
        Self { needs, ..self }
    }
    const fn also(self, also: &'static [&'static str]) -> Self {
        Self { also, ..self }
    }
    const fn variant(self, variant: &'static str) -> Self {
        Self { variant, ..self }
    }
}

#[rustfmt::skip]
pub(crate) const TABLE: &[Rule] = &[
    line("hallpass.v1.TokenService/CreateToken", "token.create", TW, to(true, true, Admin::Machines, Foreign::Denied, Empty::Oneself)),
    line("hallpass.v1.TokenService/GetToken", "token.get",    TR, HIDDEN).reads(),
    line("hallpass.v1.TokenService/ListTokens", "token.list",  TR, to(true, true, Admin::All, Foreign::Denied, Empty::Oneself)).reads(),
    line("hallpass.v1.TokenService/DeleteToken", "token.delete", TW, HIDDEN),
    line("hallpass.v1.TokenService/LookUpToken", "token.get", TR, HIDDEN).reads(),
    line("hallpass.v1.TokenService/RotateToken", "token.rotate", TW, to(true, true, Admin::Machines, Foreign::NotFound, Empty::InvalidField)),
    line("hallpass.v1.TokenService/UndoRotation", "token.undo_rotation", TW, to(true, true, Admin::Machines, Foreign::NotFound, Empty::InvalidField)).needs(Precondition::Successor),
    line("hallpass.v1.TokenService/UpdateToken", "token.describe", TW, HIDDEN),
    line("hallpass.v1.TokenService/ExplainToken", "token.explain", TR, HIDDEN).reads(),
    line("hallpass.v1.TokenService/VerifyToken", "", TV, Permission::Everyone).reads(),
    line("hallpass.v1.UserService/CreateUser", "user.create",   UW, Permission::Admins).variant("person"),
    line("hallpass.v1.UserService/CreateUser", "user.create",   UW, Permission::People).variant("machine"),
    line("hallpass.v1.UserService/CreateUser", "user.create",   UW, Permission::AdminPeople).variant("admin machine"),
    line("hallpass.v1.UserService/GetUser", "user.get",            UR, HIDDEN).reads(),
    line("hallpass.v1.UserService/GetUserByUsername", "user.get",  UR, HIDDEN).reads(),
    line("hallpass.v1.UserService/LookUpUser", "", UR, HIDDEN).reads(),
    line("hallpass.v1.UserService/ListUsers", "user.list",          UR, Permission::See).reads(),
    line("hallpass.v1.UserService/CountUsers", "",         UR, Permission::See).reads(),
    line("hallpass.v1.UserService/UpdateUserSettings", "user.describe", UW, HIDDEN),
    line("hallpass.v1.UserService/UpdateUserServerRole", "user.set_role", UW, ADMINS),
    line("hallpass.v1.UserService/SetOwner", "user.set_owner",       UW, ADMINS).needs(Precondition::Machine),
    line("hallpass.v1.UserService/SetPassword", "user.set_password",    UW, to(true, false, Admin::All, Foreign::NotFound, Empty::Oneself)).needs(Precondition::Person),
    line("hallpass.v1.UserService/DeactivateUser", "user.deactivate", UW, NOT_ONESELF),
    line("hallpass.v1.UserService/ReactivateUser", "user.reactivate", UW, ADMINS),
    line("hallpass.v1.UserService/DeleteUser", "user.delete",     UW, NOT_ONESELF).needs(Precondition::NoMachines),
    line("hallpass.v1.AuthnService/GetCurrentUser", "", None, Permission::Everyone).reads(),
    line("buf.registry.owner.v1.UserService/GetCurrentUser", "", None, Permission::Everyone).reads(),
    line("hallpass.v1.StatusService/GetServerStatus", "", None, Permission::Anyone).reads(),
    line("hallpass.v1.AuditService/ListAuditEvents", "audit.list", AR, Permission::Admins).reads(),
    line("hallpass.v1.AuditService/StreamAuditEvents", "audit.list", AR, Permission::Admins).reads(),
    line("hallpass.v1.AdminService/ListAllTokens", "token.list_all", TR, Permission::Admins).reads(),
    line("hallpass.v1.AdminService/CountAllTokens", "token.list_all", TR, Permission::Admins).reads(),
    line("hallpass.v1.AdminService/RevokeTokens", "token.revoke", TW, ADMINS),
    line("hallpass.v1.AdminService/RevokeLeakedTokens", "token.revoke_leaked", TW, Permission::Admins),
    line("hallpass.v1.AdminService/CheckData", "data.check", AD, Permission::Admins).reads(),
    line("hallpass.v1.AdminService/BackUpData", "data.backup", AD, Permission::Admins).reads().also(&[
        "hallpass:tokens:read",
        "hallpass:users:read",
        "hallpass:audit:read",
    ]),
];

const OK: &str = "ok";
const SCOPE: &str = "permission_denied SCOPE_MISSING";
const DENIED: &str = "permission_denied PERMISSION_DENIED";
const FIELD: &str = "invalid_argument INVALID_FIELD";
const EXCEEDS: &str = "failed_precondition EXCEEDS_PARENT";
const WRONG_TYPE: &str = "failed_precondition WRONG_USER_TYPE";

impl Rule {
    pub(super) fn method(&self) -> &'static str {
        self.procedure.split_once('/').unwrap().1
    }

    pub(super) fn is_of_tokens(&self) -> bool {
        Procedure::find(self.procedure).names_a_token()
    }

    /// The targets that the request can name.
    pub(super) fn targets(&self) -> impl Iterator<Item = Target> {
        let named = matches!(self.may, Permission::To { .. });
        let tokens = self.is_of_tokens();
        let targets = Target::ALL.into_iter();
        targets.filter(move |target| match target {
            Target::Empty => true,
            Target::Itself => tokens,
            _ => named,
        })
    }

    /// The action that a successful case leaves in the audit log: a change, or
    /// an admin's read of others' data.
    pub(super) fn recorded(
        &self,
        caller: &Caller,
        target: Target,
        changed: bool,
    ) -> Option<String> {
        let foreign = match target {
            Target::OtherPerson | Target::OthersMachine | Target::Gone => true,
            Target::OwnMachine => caller.who.kind == Kind::Machine,
            _ => false,
        };
        let as_admin = caller.who.admin && caller.has("hallpass:admin");
        let recorded = match self.may {
            Permission::To { .. } if !self.changes => foreign,
            Permission::See | Permission::Admins if !self.changes => as_admin,
            _ => changed,
        };
        (recorded && !self.audit.is_empty()).then(|| self.audit.to_owned())
    }

    /// The expected result, in the order of checks: authentication, authorisation, fields, state.
    pub(super) fn expected(&self, caller: &Caller, target: Target) -> String {
        if self.may == Permission::Anyone && caller.token.is_empty() {
            return "ok 0".to_owned();
        }
        if let Some(reason) = caller.refused {
            return format!("unauthenticated {reason}");
        }
        let deletes_itself = self.method() == "DeleteToken" && target == Target::Itself;
        let mut scopes = self.scope.iter().chain(self.also);
        if scopes.any(|scope| !caller.has(scope)) && !deletes_itself {
            return SCOPE.to_owned();
        }
        let person = caller.who.kind == Kind::Person;
        let admin = caller.who.admin && caller.has("hallpass:admin");
        let makes_a_token = match self.method() {
            "CreateToken" => true,
            "RotateToken" => target != Target::Itself,
            _ => false,
        };
        let allowed = |yes: bool| if yes { OK } else { DENIED }.to_owned();
        match self.may {
            Permission::Everyone => OK.to_owned(),
            Permission::Anyone => format!("ok {}", 1 + usize::from(admin)),
            Permission::See if admin => format!("ok {}", caller.who.sees_as_admin),
            Permission::See => format!("ok {}", caller.who.sees),
            Permission::People => allowed(person),
            Permission::AdminPeople => allowed(person && admin),
            Permission::Admins => allowed(admin),
            Permission::To { .. } if makes_a_token && caller.is_child => {
                "permission_denied LINEAGE_TOO_DEEP".to_owned()
            }
            Permission::To { .. } => self.expected_to(caller, admin, target),
        }
    }

    fn expected_to(&self, caller: &Caller, by_admin: bool, target: Target) -> String {
        let Permission::To {
            oneself,
            owner,
            admin,
            foreign,
            empty,
        } = self.may
        else {
            unreachable!("only called for these")
        };
        if !oneself && !owner && !by_admin {
            return DENIED.to_owned();
        }
        let target = match (target, empty) {
            (Target::Empty, Empty::InvalidField) => return FIELD.to_owned(),
            (Target::Empty, Empty::Oneself) => Target::Oneself,
            (target, _) => target,
        };
        let hidden = match foreign {
            Foreign::NotFound if self.is_of_tokens() => "not_found TOKEN_NOT_FOUND",
            Foreign::NotFound => "not_found USER_NOT_FOUND",
            Foreign::Denied => DENIED,
        };
        let kind = match target {
            Target::Missing | Target::Malformed | Target::Gone if !by_admin => {
                return hidden.to_owned();
            }
            // A deletion may be repeated by anyone who may delete, and a deleted token can be explained.
            Target::Gone if ["DeleteToken", "ExplainToken"].contains(&self.method()) => {
                return OK.to_owned();
            }
            Target::Missing | Target::Malformed | Target::Gone if self.is_of_tokens() => {
                return hidden.to_owned();
            }
            Target::Missing | Target::Malformed | Target::Gone => {
                return "not_found USER_NOT_FOUND".to_owned();
            }
            Target::Oneself | Target::Itself => caller.who.kind,
            Target::OwnMachine | Target::OthersMachine => Kind::Machine,
            Target::OtherPerson => Kind::Person,
            Target::Empty => unreachable!("read above"),
        };
        let is_own = matches!(target, Target::Oneself | Target::Itself);
        let owns = target == Target::OwnMachine && caller.who.kind == Kind::Person;
        let reach = by_admin && (admin == Admin::All || kind == Kind::Machine);
        if !(is_own && oneself || owns && owner || reach) {
            // Callers know that they themselves exist.
            return if is_own { DENIED } else { hidden }.to_owned();
        }
        // No token learns the secret of a token with more rights.
        let limited = caller.scopes.is_some() || caller.is_bound;
        if self.method() == "RotateToken" && target != Target::Itself && limited {
            return EXCEEDS.to_owned();
        }
        match (self.needs, kind) {
            // No token here was created by a rotation.
            (Precondition::Successor, _) => "failed_precondition ROTATION_FINAL",
            (Precondition::Machine, Kind::Person) | (Precondition::Person, Kind::Machine) => {
                WRONG_TYPE
            }
            // All people here who are targets own machines.
            (Precondition::NoMachines, Kind::Person) => "failed_precondition USER_OWNS_MACHINES",
            _ => OK,
        }
        .to_owned()
    }
}
