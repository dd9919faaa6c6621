//! A session over one wire and its results, with random values replaced by names.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    client::{Call, Failure, Procedure, Protocol, Wire},
    test_app::TestApp,
};

/// The results of a session, one entry per call.
pub(crate) type Transcript = Vec<(String, Result<Value, Failure>)>;

pub(crate) struct Session {
    pub(crate) app: TestApp,
    wire: Wire,
    names: Names,
    pub(crate) transcript: Transcript,
}

impl Session {
    pub(crate) fn new(app: TestApp, wire: Wire) -> Self {
        Self {
            app,
            wire,
            names: Names::default(),
            transcript: Vec::new(),
        }
    }

    pub(crate) async fn call(&mut self, by: &str, procedure: &str, message: Value) -> Value {
        // GET is for unary procedures without side effects; the rest goes by POST.
        let found = Procedure::find(procedure);
        let wire = if self.wire.is_get() && !found.takes_get() {
            Wire::new(Protocol::Connect, self.wire.codec)
        } else {
            self.wire
        };
        // Each call at another time, so that lists have a defined order.
        self.app.clock.advance(Duration::from_millis(1));
        let call = Call::new(procedure, message);
        let call = if by.is_empty() { call } else { call.bearer(by) };
        let answer = self.app.client.call(wire, call).await;
        assert_eq!(answer.headers["cache-control"], "no-store", "{wire:?}");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        assert_eq!(answer.request_id().len(), 22);
        if let Err(failure) = &answer.result {
            assert_ne!(failure.reason(), "INTERNAL", "{procedure} over {wire:?}");
        }
        let shown = answer.result.clone().map(|reply| self.names.give(reply));
        self.transcript.push((procedure.to_owned(), shown));
        answer.result.unwrap_or_default()
    }

    /// Rotates a new token and undoes that, twice.
    pub(crate) async fn undo_a_rotation(&mut self, by: &str) {
        let made = self.call(by, "TokenService/CreateToken", json!({})).await;
        let id = &made["metadata"]["id"];
        let rotate = json!({ "tokenId": id, "gracePeriod": "60s" });
        let rotated = self.call(by, "TokenService/RotateToken", rotate).await;
        let undo = json!({ "tokenId": rotated["metadata"]["id"] });
        for procedure in [
            ("TokenService/UndoRotation", undo.clone()),
            ("TokenService/UndoRotation", undo),
            ("TokenService/DeleteToken", json!({ "tokenId": id })),
        ] {
            self.call(by, procedure.0, procedure.1).await;
        }
    }

    pub(crate) async fn calls(&mut self, by: &str, calls: &[(&str, Value)]) {
        for (procedure, message) in calls {
            self.call(by, procedure, message.clone()).await;
        }
    }
}

/// Names for random values, in the order of their first occurrence.
#[derive(Default)]
struct Names(Vec<String>);

impl Names {
    fn give(&mut self, value: Value) -> Value {
        match value {
            Value::String(text) if is_random(&text) => {
                let known = self.0.iter().position(|name| *name == text);
                let index = known.unwrap_or_else(|| {
                    self.0.push(text);
                    self.0.len() - 1
                });
                format!("random {index}").into()
            }
            // Part of a backup, which holds random values.
            Value::String(text) if text.len() > 4_096 => {
                format!("{} characters", text.len()).into()
            }
            Value::String(text) if text.contains(' ') => {
                // A sentence may contain IDs.
                let words = text.split(' ').map(|word| {
                    let bare = word.trim_end_matches(['.', ',', ':', ';']);
                    if is_random(bare) {
                        self.give(bare.into()).to_string() + &word[bare.len()..]
                    } else {
                        word.to_owned()
                    }
                });
                words.collect::<Vec<_>>().join(" ").into()
            }
            Value::Array(values) => values.into_iter().map(|value| self.give(value)).collect(),
            Value::Object(fields) => {
                // The keys of a map may be IDs.
                let fields = fields.into_iter().map(|(key, value)| {
                    let key = self.give(key.into());
                    let key = key.as_str().unwrap_or_default().to_owned();
                    (key, self.give(value))
                });
                Value::Object(fields.collect())
            }
            other => other,
        }
    }
}

/// An ID, a plaintext, a page token or a hash.
fn is_random(text: &str) -> bool {
    let of_an_id = text.len() == 22 && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    of_an_id || text.starts_with("hallpass_") || [44, 75].contains(&text.len())
}
