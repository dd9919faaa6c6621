//! Each kind of field accepts exactly what prost-reflect accepts, which follows the canonical mapping.

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto,
    FileDescriptorProto, FileDescriptorSet, MessageOptions, OneofDescriptorProto,
    field_descriptor_proto::{Label, Type},
};
use serde::de::IntoDeserializer;
use serde_json::{Value, json};

use super::to_proto;

const TYPES: [Type; 17] = [
    Type::Double,
    Type::Float,
    Type::Int64,
    Type::Uint64,
    Type::Int32,
    Type::Fixed64,
    Type::Fixed32,
    Type::Bool,
    Type::String,
    Type::Message,
    Type::Bytes,
    Type::Uint32,
    Type::Enum,
    Type::Sfixed32,
    Type::Sfixed64,
    Type::Sint32,
    Type::Sint64,
];

fn field(name: &str, number: i32, of: Type) -> FieldDescriptorProto {
    let type_name = match of {
        Type::Message => Some(".x.Leaf".to_owned()),
        Type::Enum => Some(".x.Colour".to_owned()),
        _ => None,
    };
    FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(Label::Optional.into()),
        r#type: Some(of.into()),
        type_name,
        ..FieldDescriptorProto::default()
    }
}

fn message(name: &str, field: Vec<FieldDescriptorProto>) -> DescriptorProto {
    DescriptorProto {
        name: Some(name.to_owned()),
        field,
        ..DescriptorProto::default()
    }
}

/// A message with one field of this type in each form: `one`, `many`, `by_key`, and a oneof of `either` and `or`.
fn holder(of: Type) -> MessageDescriptor {
    let mut many = field("many", 2, of);
    many.label = Some(Label::Repeated.into());
    let mut by_key = field("by_key", 3, Type::Message);
    by_key.label = Some(Label::Repeated.into());
    by_key.type_name = Some(".x.Holder.ByKeyEntry".to_owned());
    let (mut either, mut or) = (field("either", 4, of), field("or", 5, of));
    either.oneof_index = Some(0);
    or.oneof_index = Some(0);
    let mut holder = message(
        "Holder",
        vec![field("one", 1, of), many, by_key, either, or],
    );
    holder.oneof_decl = vec![OneofDescriptorProto {
        name: Some("choice".to_owned()),
        ..OneofDescriptorProto::default()
    }];
    let entry = vec![field("key", 1, Type::Int32), field("value", 2, of)];
    holder.nested_type = vec![DescriptorProto {
        options: Some(MessageOptions {
            map_entry: Some(true),
            ..MessageOptions::default()
        }),
        ..message("ByKeyEntry", entry)
    }];
    let value = |name: &str, number| EnumValueDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        ..EnumValueDescriptorProto::default()
    };
    let file = FileDescriptorProto {
        name: Some("x.proto".to_owned()),
        package: Some("x".to_owned()),
        syntax: Some("proto3".to_owned()),
        message_type: vec![
            holder,
            message("Leaf", vec![field("leaf_text", 1, Type::String)]),
        ],
        enum_type: vec![EnumDescriptorProto {
            name: Some("Colour".to_owned()),
            value: vec![value("NONE", 0), value("RED", 1), value("DARK", -1)],
            ..EnumDescriptorProto::default()
        }],
        ..FileDescriptorProto::default()
    };
    let set = FileDescriptorSet { file: vec![file] };
    let pool = DescriptorPool::decode(&*set.encode_to_vec()).unwrap();
    pool.get_message_by_name("x.Holder").unwrap()
}

fn values() -> Vec<Value> {
    let mut values = vec![
        json!(null),
        json!(true),
        json!(false),
        json!([]),
        json!({}),
        json!([1]),
        json!({"leafText": "a"}),
        json!({"leaf_text": null}),
        json!({"leafText": 1}),
        json!({"nope": [{"a": 1}]}),
        json!(-0.0),
        json!(1e40),
        json!(1e300),
    ];
    for number in [
        "0",
        "1",
        "-1",
        "7.0",
        "7e0",
        "70e-1",
        "7.5",
        "-7.5",
        "2147483647",
        "2147483648",
        "-2147483648",
        "-2147483649",
        "4294967295",
        "4294967296",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "-9223372036854775809",
        "18446744073709551615",
    ] {
        values.push(number.parse::<serde_json::Number>().unwrap().into());
        values.push(number.into());
    }
    let texts = [
        "",
        " ",
        "a",
        "+1",
        " 1",
        "NaN",
        "Infinity",
        "3.4028235e38",
        "18446744073709551616",
        "-Infinity",
        "true",
        "RED",
        "red",
        "DARK",
        "GREEN",
        "YQ==",
        "YQ",
        "YR",
        "-_8",
        "+/8=",
        "-/8",
        "=",
        "\u{e9}\u{0}",
    ];
    values.extend(texts.map(Value::from));
    values
}

#[test]
fn every_kind_is_read_as_prost_reflect_reads_it() {
    for of in TYPES {
        let holder = holder(of);
        for value in values() {
            for json in [
                json!({ "one": value }),
                json!({ "many": value }),
                json!({ "many": [value] }),
                json!({ "many": [value, value] }),
                json!({ "byKey": value }),
                json!({ "byKey": { "7": value, "-8": value } }),
                json!({ "byKey": { "x": value } }),
                json!({ "either": value }),
                json!({ "either": value, "or": value }),
                json!({ "either": null, "or": value }),
            ] {
                let written = |message| serde_json::to_value(message).unwrap();
                let deserializer = json.clone().into_deserializer();
                let expected = DynamicMessage::deserialize(holder.clone(), deserializer);
                let got = to_proto(&holder, json.to_string().as_bytes(), true);
                let got = got.map(|proto| DynamicMessage::decode(holder.clone(), proto).unwrap());
                let (got, expected) = (got.ok().map(written), expected.ok().map(written));
                assert_eq!(got, expected, "{of:?} {json}");
            }
        }
    }
}
