//! `ExplainToken`: every condition of a token's validity, consistent with verification.

use std::time::Duration;

use serde_json::{Value, json};

use crate::test_app::{NewToken, TestApp};

const EXPLAIN: &str = "TokenService/ExplainToken";
const HOUR: Duration = Duration::from_hours(1);

async fn explain(app: &TestApp, by: &str, id: &str) -> Value {
    let answer = app.call(by, EXPLAIN, json!({ "tokenId": id }));
    answer.await.ok()
}

/// The reasons of the conditions that fail.
fn broken(explanation: &Value) -> Vec<&str> {
    let conditions = explanation["conditions"].as_array().unwrap();
    assert_eq!(conditions.len(), 7);
    let broken = conditions.iter().filter(|c| c.get("holds").is_none());
    broken.map(|c| c["reason"].as_str().unwrap()).collect()
}

fn says(explanation: &Value, words: &str) -> bool {
    let sentences = explanation["sentences"].as_array().unwrap();
    sentences
        .iter()
        .any(|sentence| sentence.as_str().unwrap().contains(words))
}

async fn call(app: &TestApp, by: &str, procedure: &str, message: Value) -> Value {
    app.call(by, procedure, message).await.ok()
}

#[tokio::test]
async fn valid_token_is_explained_with_creator_family_limits_and_expiry() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let expires = app.clock.after(HOUR * 2);
    let fields = json!({
        "note": "a note that no sentence repeats",
        "expireTime": expires,
        "scopes": ["deploy"],
        "allowedCidrs": ["10.0.0.0/8"],
    });
    let token = app.sign_in(&alice, fields).await;
    let told = explain(&app, &alice.token, &token.id).await;
    assert_eq!(told["valid"], true);
    assert_eq!(broken(&told), Vec::<&str>::new());
    assert_eq!(told["token"], token.metadata);
    assert_eq!(told["user"]["username"], "alice");
    assert_eq!(told["scopes"], json!(["deploy"]));
    assert_eq!(told["allowedCidrs"], json!(["10.0.0.0/8"]));
    assert_eq!(told["origin"]["credential"], "CREDENTIAL_KIND_PASSWORD");
    assert_eq!(told["origin"]["actor"], alice.id);
    assert_eq!(told["family"].as_array().unwrap().len(), 1);
    let ending = json!([{ "time": expires, "reason": "TOKEN_EXPIRED" }]);
    assert_eq!(told["endings"], ending);
    for words in [
        "The token is valid.",
        "by alice with a password",
        "limited to the scopes deploy, from the networks 10.0.0.0/8",
        &format!("At {expires}, it expires."),
    ] {
        assert!(says(&told, words), "{words}: {told}");
    }
    assert!(!says(&told, "a note"), "{told}");
}

#[tokio::test]
async fn each_failed_condition_is_reported_as_verification_reports_it() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let admin = &app.admin.token;
    let parent = app.sign_in(&alice, json!({})).await;
    let child = async |parent: &NewToken, fields: Value| app.child(&parent.text, fields).await;
    let soon = json!({ "expireTime": app.clock.after(HOUR) });
    let expired = child(&parent, soon).await;
    let deleted = child(&parent, json!({})).await;
    let disabled = child(&parent, json!({})).await;
    let off = app.sign_in(&alice, json!({})).await;
    let of_off = child(&off, json!({})).await;
    let narrow = app.sign_in(&alice, json!({})).await;
    let elsewhere = child(
        &narrow,
        json!({ "scopes": ["a"], "allowedCidrs": ["127.0.0.0/8"] }),
    )
    .await;
    let id = |token: &NewToken| json!({ "tokenId": token.id });
    call(&app, admin, "TokenService/DeleteToken", id(&deleted)).await;
    let update = async |token: &NewToken, mut fields: Value| {
        fields["tokenId"] = token.id.clone().into();
        call(&app, admin, "TokenService/UpdateToken", fields).await;
    };
    update(&disabled, json!({ "disabled": true })).await;
    update(&off, json!({ "disabled": true })).await;
    update(
        &narrow,
        json!({ "scopes": ["b"], "allowedCidrs": ["10.0.0.0/8"] }),
    )
    .await;
    app.clock.advance(HOUR);

    for (token, reasons) in [
        (&expired, &["TOKEN_EXPIRED"][..]),
        (&deleted, &["TOKEN_DELETED"]),
        (&disabled, &["TOKEN_DISABLED"]),
        (&of_off, &["PARENT_INVALID"]),
        (&elsewhere, &["ADDRESS_NOT_ALLOWED", "SCOPE_MISSING"]),
        (&parent, &[]),
    ] {
        let told = explain(&app, admin, &token.id).await;
        assert_eq!(broken(&told), reasons);
        assert_eq!(told.get("valid").is_some(), reasons.is_empty());
        let ask = json!({ "token": token.text, "clientIp": "127.0.0.1" });
        let verified = call(&app, admin, "TokenService/VerifyToken", ask).await;
        assert_eq!(verified["reason"].as_str(), reasons.first().copied());
    }
    // Every failed condition, not only the first.
    update(&parent, json!({ "disabled": true })).await;
    let deactivate = json!({ "id": alice.id });
    call(&app, admin, "UserService/DeactivateUser", deactivate).await;
    let told = explain(&app, admin, &deleted.id).await;
    let all = ["TOKEN_DELETED", "USER_DEACTIVATED", "PARENT_INVALID"];
    assert_eq!(broken(&told), all);
    assert!(says(&told, "it was revoked at"), "{told}");
    assert!(says(&told, "its user is deactivated"), "{told}");
}

#[tokio::test]
async fn later_uses_of_a_predecessor_show_in_its_successors_explanation() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let old = app.sign_in(&alice, json!({})).await;
    let child = app.child(&old.text, json!({})).await;
    let rotate = json!({ "tokenId": old.id, "gracePeriod": "3600s" });
    let reply = call(&app, &old.text, "TokenService/RotateToken", rotate).await;
    let new = NewToken::read(&reply);
    app.clock.advance(HOUR / 2);
    let used = app.clock.after(Duration::ZERO);
    // As the job writes last uses.
    let sql = "UPDATE tokens SET last_use_time = ?2, last_use_ip = '10.0.0.7' WHERE id = ?1";
    let micros = app.app.now().as_micros();
    app.sql().execute(sql, (&old.id, micros)).unwrap();

    let told = explain(&app, &alice.token, &new.id).await;
    let family = told["family"].as_array().unwrap();
    assert_eq!(family.len(), 2);
    assert_eq!(family[0]["id"], old.id);
    assert_eq!(
        family[0]["lastUse"],
        json!({ "time": used, "ip": "10.0.0.7" })
    );
    assert_eq!(family[0]["expireTime"], app.clock.after(HOUR / 2));
    let words = format!("the old secret was last used at {used} from 10.0.0.7");
    assert!(says(&told, &words), "{told}");
    assert_eq!(told["liveChildren"], 1);
    assert_eq!(told["origin"]["rotated"], true);
    assert_eq!(told["origin"]["credential"], "CREDENTIAL_KIND_TOKEN");
    assert_eq!(told["origin"]["credentialId"], old.id);

    let get = json!({ "tokenId": old.id });
    let got = call(&app, &alice.token, "TokenService/GetToken", get).await;
    assert_eq!(got["token"]["lastUse"], family[0]["lastUse"]);
    let told = explain(&app, &alice.token, &old.id).await;
    assert!(says(&told, &format!("{} took over", new.id)), "{told}");
    assert_eq!(told["endings"][0]["time"], app.clock.after(HOUR / 2));
    let told = explain(&app, &alice.token, &child.id).await;
    assert_eq!(told["token"]["parentId"], new.id);
    assert!(says(&told, "the token that it was made with"), "{told}");
}

#[tokio::test]
async fn parents_expiry_counts_and_the_earliest_expiry_comes_first() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let in_hours = |hours: u32| json!({ "expireTime": app.clock.after(HOUR * hours) });
    let parent = app.sign_in(&alice, in_hours(2)).await;
    let child = app.child(&parent.text, in_hours(1)).await;
    let told = explain(&app, &alice.token, &child.id).await;
    let reasons = [&told["endings"][0]["reason"], &told["endings"][1]["reason"]];
    assert_eq!(reasons, ["TOKEN_EXPIRED", "PARENT_INVALID"]);
    // A rotation may end the parent earlier.
    let sooner = json!({ "tokenId": parent.id, "expireTime": app.clock.after(HOUR / 2) });
    call(&app, &alice.token, "TokenService/RotateToken", sooner).await;
    let told = explain(&app, &alice.token, &child.id).await;
    assert_eq!(told["endings"][0]["reason"], "PARENT_INVALID");
}

#[tokio::test]
async fn foreign_token_is_not_found_and_an_admins_explanation_is_recorded() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let bob = app.person("bob").await;
    let foreign = app.sign_in(&bob, json!({})).await;
    let refused = async |id: &str| {
        let answer = app
            .call(&alice.token, EXPLAIN, json!({ "tokenId": id }))
            .await;
        answer.clone().refused("not_found", "TOKEN_NOT_FOUND");
        answer.raw_refusal()
    };
    let same = refused("0000000000000000000000").await;
    assert_eq!(refused(&foreign.id).await, same);
    let delete = json!({ "tokenId": foreign.id });
    call(&app, &bob.token, "TokenService/DeleteToken", delete).await;
    assert_eq!(refused(&foreign.id).await, same, "a deleted one, too");
    assert_eq!(refused("nonsense").await, same);
    let before = app.audit_len();
    explain(&app, &bob.token, &foreign.id).await;
    assert_eq!(app.audit_len(), before);
    explain(&app, &app.admin.token, &foreign.id).await;
    assert_eq!(app.audit_len(), before + 1);
}

#[tokio::test]
async fn explanation_matches_a_plaintext_by_its_hash_only() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let token = app.sign_in(&alice, json!({})).await;
    let other = app.sign_in(&alice, json!({})).await;
    let ask = async |hash: &Value| {
        let message = json!({ "tokenId": token.id, "plaintextSha256": hash });
        app.call(&alice.token, EXPLAIN, message).await
    };
    let own = token.as_leaked()["plaintextSha256"].clone();
    let others = other.as_leaked()["plaintextSha256"].clone();
    for (hash, matches) in [
        (&own, Some(&json!(true))),
        (&others, Some(&json!(false))),
        (&json!(""), None),
    ] {
        let told = ask(hash).await.ok();
        assert_eq!(told.get("plaintextMatches"), matches, "{hash}");
        assert_eq!(
            told["valid"], true,
            "the explanation is about the stored token"
        );
    }
    let told = explain(&app, &alice.token, &token.id).await;
    assert_eq!(told.get("plaintextMatches"), None);
    // The same for a deleted token.
    let id = json!({ "tokenId": token.id });
    call(&app, &alice.token, "TokenService/DeleteToken", id).await;
    assert_eq!(ask(&own).await.ok()["plaintextMatches"], true);
    assert_eq!(ask(&others).await.ok()["plaintextMatches"], false);
    // 1, 31 and 33 bytes.
    for wrong in ["AA", &"A".repeat(42), &"A".repeat(44)] {
        let answer = ask(&wrong.into()).await;
        answer.invalid_field("plaintext_sha256");
    }
    // A caller who does not own the token gets no result.
    let bob = app.person("bob").await;
    let message = json!({ "tokenId": token.id, "plaintextSha256": own });
    let answer = app.call(&bob.token, EXPLAIN, message).await;
    answer.refused("not_found", "TOKEN_NOT_FOUND");
}

#[tokio::test]
async fn each_check_names_its_subject_and_its_reason() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await;
    let expires = app.clock.after(HOUR);
    let fields = json!({
        "expireTime": expires,
        "scopes": ["deploy"],
        "allowedCidrs": ["10.0.0.0/8"],
    });
    let parent = app.sign_in(&alice, json!({})).await;
    let token = app.child(&parent.text, fields).await;
    let ask = async |scopes: &[&str], ip: &str| {
        let message = json!({
            "tokenId": token.id,
            "requiredScopes": scopes,
            "clientIp": ip,
        });
        app.call(&alice.token, EXPLAIN, message).await
    };
    let checks = |told: &Value| -> Vec<String> {
        let text = |check: &Value, name: &str| check[name].as_str().unwrap_or("").to_owned();
        let checks = told["conditions"].as_array().unwrap().iter();
        checks
            .map(|check| {
                let holds = if check["holds"] == true { "yes" } else { "no" };
                let (checked, detail) = (text(check, "checked"), text(check, "detail"));
                format!("{checked}: {holds} {detail}").trim().to_owned()
            })
            .collect()
    };
    let told = ask(&["deploy", "read"], "10.0.0.1").await.ok();
    let (parent_id, at) = (&parent.id, &expires);
    let general = [
        "not revoked: yes".to_owned(),
        format!("not expired: yes it expires at {at}, in 1 hour"),
        "not disabled: yes".to_owned(),
        "user is active: yes it belongs to alice".to_owned(),
        format!("parent is valid: yes it was made with {parent_id}"),
        "allowed from some address: yes from the networks 10.0.0.0/8".to_owned(),
        "has some scope left: yes it is limited to the scopes deploy".to_owned(),
    ];
    let uses = [
        "allowed from 10.0.0.1: yes",
        "has the scope deploy: yes",
        "has the scope read: no it lacks the scope read",
    ];
    assert_eq!(checks(&told)[..7], general);
    assert_eq!(checks(&told)[7..], uses);
    assert_eq!(told.get("valid"), None, "for this use");
    assert!(says(
        &told,
        "The token is not valid: it lacks the scope read."
    ));
    let told = ask(&["deploy"], "::ffff:10.0.0.1").await.ok();
    assert_eq!(told["valid"], true);
    assert_eq!(checks(&told)[7], "allowed from 10.0.0.1: yes");

    app.clock.advance(HOUR * 72);
    let off = json!({ "tokenId": parent.id, "disabled": true });
    call(&app, &alice.token, "TokenService/UpdateToken", off).await;
    let told = ask(&[], "192.0.2.1").await.ok();
    let checks = checks(&told);
    let expired = format!("not expired: no it expired at {at}, 2 days ago");
    assert_eq!(checks[1], expired);
    let parent_off = "parent is valid: no the token that it was made with is not valid";
    assert_eq!(checks[4], format!("{parent_off}: {parent_id}"));
    let address = "allowed from 192.0.2.1: no it may not be used from 192.0.2.1";
    assert_eq!(checks[7..], [address]);

    ask(&["No Scope"], "")
        .await
        .invalid_field("required_scopes");
    ask(&[], "here").await.invalid_field("client_ip");
}
