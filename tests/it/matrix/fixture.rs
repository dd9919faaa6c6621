//! The users and tokens of the matrix, in every state, and each caller's targets.

use std::time::Duration;

use hallpass::domain::{
    id::{TokenId, UserId},
    token_text::{TokenPrefix, TokenText},
};
use serde_json::json;

use crate::test_app::{NewToken, Person, START, TestApp};

use super::callers::{self, Caller, CallerUser, Kind, TargetUser, Users};

/// The target of a request, relative to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Target {
    /// The caller's user, or another token of that user.
    Oneself,
    /// The token that the caller presents.
    Itself,
    /// A machine of the caller; for a machine, another machine of its owner.
    OwnMachine,
    OtherPerson,
    OthersMachine,
    /// A deleted user or token.
    Gone,
    Missing,
    Malformed,
    Empty,
}

impl Target {
    pub(super) const ALL: [Self; 9] = [
        Self::Oneself,
        Self::Itself,
        Self::OwnMachine,
        Self::OtherPerson,
        Self::OthersMachine,
        Self::Gone,
        Self::Missing,
        Self::Malformed,
        Self::Empty,
    ];
}

#[derive(Debug)]
pub(super) struct Fixture {
    pub(super) app: TestApp,
    pub(super) callers: Vec<Caller>,
    pub(super) gone: TargetUser,
    pub(super) missing: TargetUser,
    /// A token that no caller uses.
    pub(super) leaked: NewToken,
}

const ADMIN: &str = "SERVER_ROLE_ADMIN";
/// Including the first admin, without dave.
const ALL_USERS: usize = 14;

impl Fixture {
    pub(super) async fn make() -> Self {
        let app = TestApp::start().await;
        let alice = app.person("alice").await;
        let bob = app.person("bob").await;
        let root = app.further_admin("root").await;
        let paul = app.person("paul").await;
        let robot = app.machine(&alice, "robot").await;
        let spare = app.machine(&alice, "spare").await;
        let droid = app.machine(&bob, "droid").await;
        let drone = app.machine(&bob, "drone").await;
        let engine = app.machine_with_role(&root, "engine", ADMIN).await;
        let gear = app.machine(&root, "gear").await;
        let promoted = app.machine_with_role(&root, "promoted", ADMIN).await;
        let handed = json!({ "userId": promoted.id, "ownerId": alice.id });
        let handed = app.call(&root.token, "UserService/SetOwner", handed);
        handed.await.ok();
        let users = Users {
            dora: app.person("dora").await,
            dave: app.person("dave").await,
            pauls: app.machine(&paul, "pauls").await,
            alice,
            paul,
            root,
            robot,
            promoted,
            droid,
            engine,
        };
        let named = async |id: &str, name: &str, owner: &Person| {
            let token = app.sign_in(owner, json!({ "userId": id })).await;
            TargetUser {
                id: id.to_owned(),
                name: name.to_owned(),
                token_id: token.id,
            }
        };
        let (alice, root) = (&users.alice, &users.root);
        let alice_named = named(&alice.id, "alice", alice).await;
        let bob_named = named(&bob.id, "bob", &bob).await;
        let robot = named(&users.robot.id, "robot", alice).await;
        let spare = named(&spare.id, "spare", alice).await;
        let droid = named(&users.droid.id, "droid", &bob).await;
        let drone = named(&drone.id, "drone", &bob).await;
        let engine = named(&users.engine.id, "engine", root).await;
        let gear = named(&gear.id, "gear", root).await;
        let promoted = named(&users.promoted.id, "promoted", alice).await;
        let root_named = named(&root.id, "root", root).await;
        let gone = named(&users.dave.id, "dave", &users.dave).await;

        let who = |oneself: &TargetUser, own_machine: &TargetUser, others_machine: &TargetUser| {
            CallerUser {
                kind: Kind::Machine,
                admin: false,
                password: "a machine has none, it need not".to_owned(),
                sees: 1,
                sees_as_admin: ALL_USERS,
                oneself: oneself.clone(),
                own_machine: own_machine.clone(),
                other_person: bob_named.clone(),
                others_machine: others_machine.clone(),
            }
        };
        let person = |person: &Person, sees: usize, who: CallerUser| CallerUser {
            kind: Kind::Person,
            password: person.password.clone(),
            sees,
            ..who
        };
        let admin = |who: CallerUser| CallerUser { admin: true, ..who };
        let of_alice = |who: CallerUser| CallerUser {
            other_person: alice_named.clone(),
            ..who
        };
        let roles = callers::Roles {
            // Herself, robot, spare, promoted.
            member: person(alice, 4, who(&alice_named, &robot, &droid)),
            // A machine's owner is foreign to the machine, too.
            machine: of_alice(who(&robot, &spare, &droid)),
            others_machine: of_alice(who(&droid, &drone, &robot)),
            // Its owner is a member, so its admin role does not count.
            promoted: who(&promoted, &robot, &droid),
            admin_machine: admin(who(&engine, &gear, &droid)),
            admin: admin(person(root, 3, who(&root_named, &gear, &droid))),
        };
        let unknown = TokenText::generate(&TokenPrefix::default(), TokenId::generate(START));
        let missing = TargetUser {
            id: UserId::generate(START).to_string(),
            name: "nobody-here".to_owned(),
            token_id: unknown.id().to_string(),
        };
        let callers = callers::make(&app, &users, &roles, unknown.expose()).await;
        let leaked = app.sign_in(&users.alice, json!({})).await;
        app.clock.advance(Duration::from_hours(2));
        Self {
            app,
            callers,
            gone,
            missing,
            leaked,
        }
    }

    pub(super) fn named(&self, caller: &Caller, target: Target) -> TargetUser {
        let text = |text: &str| TargetUser {
            id: text.to_owned(),
            name: text.to_owned(),
            token_id: text.to_owned(),
        };
        match target {
            Target::Oneself => caller.who.oneself.clone(),
            Target::Itself => TargetUser {
                token_id: caller.token_id.clone(),
                ..caller.who.oneself.clone()
            },
            Target::OwnMachine => caller.who.own_machine.clone(),
            Target::OtherPerson => caller.who.other_person.clone(),
            Target::OthersMachine => caller.who.others_machine.clone(),
            Target::Gone => self.gone.clone(),
            Target::Missing => self.missing.clone(),
            // A malformed ID within the maximum length.
            Target::Malformed => text(&"No such form!!!! ".repeat(16)[..256]),
            Target::Empty => text(""),
        }
    }
}
