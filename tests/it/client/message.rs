//! Converts messages between JSON and a codec by the descriptors that the server publishes.

use std::sync::LazyLock;

use hallpass::proto::FILE_DESCRIPTOR_SET;
use prost::Message;
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor, MethodDescriptor,
    SerializeOptions,
};
use prost_types::method_options::IdempotencyLevel;
use serde_json::Value;

use super::Codec;

static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(FILE_DESCRIPTOR_SET).unwrap());

/// A procedure of the descriptors.
#[derive(Clone, Debug)]
pub(crate) struct Procedure(MethodDescriptor);

/// All procedures but health's, which are public and whose Watch never ends.
pub(crate) fn procedures() -> impl Iterator<Item = Procedure> {
    POOL.services()
        .filter(|service| service.full_name() != "grpc.health.v1.Health")
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .map(Procedure)
}

impl Procedure {
    /// Finds `Service/Method`, in `hallpass.v1` unless another package is named.
    pub(crate) fn find(name: &str) -> Self {
        let path = if name.contains('.') {
            format!("/{name}")
        } else {
            format!("/hallpass.v1.{name}")
        };
        procedures()
            .find(|procedure| procedure.path() == path)
            .unwrap_or_else(|| panic!("no procedure {name}"))
    }

    pub(crate) fn path(&self) -> String {
        format!("/{}/{}", self.0.parent_service().full_name(), self.0.name())
    }

    pub(crate) fn has_no_side_effects(&self) -> bool {
        let options = self.0.method_descriptor_proto().options.clone();
        options.is_some_and(|o| o.idempotency_level() == IdempotencyLevel::NoSideEffects)
    }

    /// Whether its reply is a stream of messages.
    pub(crate) fn is_stream(&self) -> bool {
        self.0.is_server_streaming()
    }

    /// Whether it can be called by GET.
    pub(crate) fn takes_get(&self) -> bool {
        self.has_no_side_effects() && !self.is_stream()
    }

    /// Whether its request names a token by ID.
    pub(crate) fn names_a_token(&self) -> bool {
        self.0.input().get_field_by_name("token_id").is_some()
    }

    /// A request that names only this user and this token, in the fields that the message has for that.
    pub(crate) fn naming(&self, user_id: &str, username: &str, token_id: &str) -> Value {
        let fields = self.0.input();
        let named = fields.fields().filter_map(|field| {
            let value = match field.name() {
                "id" | "user_id" => user_id,
                "username" => username,
                "token_id" => token_id,
                _ => return None,
            };
            Some((field.json_name().to_owned(), value.into()))
        });
        Value::Object(named.collect())
    }

    pub(super) fn encode(&self, codec: Codec, message: &Value) -> Vec<u8> {
        match codec {
            Codec::Json => serde_json::to_vec(message).unwrap(),
            Codec::Proto => parse(self.0.input(), message).encode_to_vec(),
        }
    }

    /// The reply's canonical JSON. Unknown fields and undecodable replies fail the test.
    pub(super) fn decode(&self, codec: Codec, bytes: &[u8]) -> Value {
        let message = match codec {
            Codec::Json => parse(self.0.output(), &serde_json::from_slice(bytes).unwrap()),
            Codec::Proto => DynamicMessage::decode(self.0.output(), bytes).unwrap(),
        };
        assert_eq!(message.unknown_fields().count(), 0, "unknown fields");
        let options = SerializeOptions::new();
        message
            .serialize_with_options(serde_json::value::Serializer, &options)
            .unwrap()
    }
}

fn parse(descriptor: MessageDescriptor, json: &Value) -> DynamicMessage {
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    DynamicMessage::deserialize_with_options(descriptor, json, &options)
        .unwrap_or_else(|error| panic!("{json} is no such message: {error}"))
}
