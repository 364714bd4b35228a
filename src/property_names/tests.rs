//! What is written under converted names, and read from them, in both protocols.

use std::collections::BTreeMap;
use std::fmt::Debug;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::core::HubProtocol;
use crate::core::codec::Payload;
use crate::payload::Decode as _;
use crate::property_names::PropertyNames::{AsDeclared, CamelCase, DotNet, PascalCase};
use crate::property_names::{PropertyNames, Style, find_field};
use crate::serialize::{Encoding, serialize};
use crate::{Binary, Timestamp};

fn write(names: PropertyNames, protocol: HubProtocol, value: &impl Serialize) -> Vec<u8> {
    let mut out = Vec::new();
    serialize(Encoding { protocol, names }, &mut out, value).unwrap();
    out
}

fn read<T: DeserializeOwned>(names: PropertyNames, protocol: HubProtocol, bytes: &[u8]) -> Result<T, String> {
    Payload::new(protocol, bytes).decode(names).map_err(|error| error.to_string())
}

fn read_json<T: DeserializeOwned>(names: PropertyNames, json: &Value) -> Result<T, String> {
    read(names, HubProtocol::Json, json.to_string().as_bytes())
}

fn protocols() -> Vec<HubProtocol> {
    vec![
        HubProtocol::Json,
        #[cfg(feature = "msgpack")]
        HubProtocol::MessagePack,
    ]
}

/// What a value looks like on the wire, whatever the protocol.
fn wire(names: PropertyNames, protocol: HubProtocol, value: &impl Serialize) -> Value {
    read(AsDeclared, protocol, &write(names, protocol, value)).unwrap()
}

/// There and back, with these names on the wire.
fn round_trip<T>(value: &T, camel: &Value, pascal: &Value)
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    for protocol in protocols() {
        for (names, expected) in [(CamelCase, camel), (PascalCase, pascal)] {
            assert_eq!(wire(names, protocol, value), *expected, "{names:?} in {protocol:?}");
            let bytes = write(names, protocol, value);
            for names in [DotNet, CamelCase, PascalCase] {
                assert_eq!(
                    read::<T>(names, protocol, &bytes).as_ref(),
                    Ok(value),
                    "{names:?} in {protocol:?}"
                );
            }
        }
        let dotnet = if protocol == HubProtocol::Json { camel } else { pascal };
        assert_eq!(wire(DotNet, protocol, value), *dotnet, "{protocol:?}");
        assert_eq!(wire(AsDeclared, protocol, value), serde_json::to_value(value).unwrap());
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Line {
    unit_price: f64,
    in_stock: bool,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    order_id: u32,
    first_line: Line,
    more_lines: Vec<Option<Line>>,
    by_key: BTreeMap<String, Line>,
    ship_to: Option<Box<Self>>,
    last_kind: Kind,
    #[serde(rename = "URLOfShop")]
    shop: Id,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    never_there: Option<u8>,
    pair_of: (Line, u8),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Id(String);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Kind {
    NotKnown,
    OfLine(Line),
    TwoLines(Line, Line),
    WithFields { first_field: Line, second: u8 },
}

fn line(unit_price: f64) -> Line {
    Line { unit_price, in_stock: true }
}

#[test]
fn structs_at_every_depth() {
    let order = |ship_to, last_kind| Order {
        order_id: 1,
        first_line: line(1.5),
        more_lines: vec![None, Some(line(2.5))],
        by_key: BTreeMap::from([("snake_key".to_owned(), line(3.5)), ("PascalKey".to_owned(), line(4.5))]),
        ship_to,
        last_kind,
        shop: Id("here".to_owned()),
        never_there: None,
        pair_of: (line(5.5), 7),
    };
    let camel = |price: f64| json!({"unitPrice": price, "inStock": true});
    let pascal = |price: f64| json!({"UnitPrice": price, "InStock": true});
    let wire_camel = |ship_to: Value, kind: Value| {
        json!({
            "orderId": 1, "firstLine": camel(1.5), "moreLines": [null, camel(2.5)],
            "byKey": {"snake_key": camel(3.5), "PascalKey": camel(4.5)}, "shipTo": ship_to, "lastKind": kind,
            "urlOfShop": "here", "pairOf": [camel(5.5), 7],
        })
    };
    let wire_pascal = |ship_to: Value, kind: Value| {
        json!({
            "OrderId": 1, "FirstLine": pascal(1.5), "MoreLines": [null, pascal(2.5)],
            "ByKey": {"snake_key": pascal(3.5), "PascalKey": pascal(4.5)}, "ShipTo": ship_to, "LastKind": kind,
            "URLOfShop": "here", "PairOf": [pascal(5.5), 7],
        })
    };
    for (kind, in_camel, in_pascal) in [
        (Kind::NotKnown, json!("NotKnown"), json!("NotKnown")),
        (Kind::OfLine(line(1.0)), json!({"OfLine": camel(1.0)}), json!({"OfLine": pascal(1.0)})),
        (
            Kind::TwoLines(line(1.0), line(2.0)),
            json!({"TwoLines": [camel(1.0), camel(2.0)]}),
            json!({"TwoLines": [pascal(1.0), pascal(2.0)]}),
        ),
        (
            Kind::WithFields { first_field: line(1.0), second: 2 },
            json!({"WithFields": {"firstField": camel(1.0), "second": 2}}),
            json!({"WithFields": {"FirstField": pascal(1.0), "Second": 2}}),
        ),
    ] {
        let value = order(Some(Box::new(order(None, Kind::NotKnown))), kind);
        round_trip(
            &value,
            &wire_camel(wire_camel(Value::Null, json!("NotKnown")), in_camel),
            &wire_pascal(wire_pascal(Value::Null, json!("NotKnown")), in_pascal),
        );
    }
}

/// What is data stays: keys of maps, variants, and values that know no struct.
#[test]
fn data_is_not_touched() {
    let map = BTreeMap::from([("a_b".to_owned(), 1), ("aB".to_owned(), 2), ("AB".to_owned(), 3)]);
    round_trip(&map, &json!({"a_b": 1, "aB": 2, "AB": 3}), &json!({"a_b": 1, "aB": 2, "AB": 3}));
    let value = json!({"snake_key": {"aB": [1, null, "text"]}, "PascalKey": 1.5});
    round_trip(&value, &value, &value);
    for protocol in protocols() {
        for names in [AsDeclared, DotNet] {
            let values = (Binary(vec![0, 255]), "2024-05-01T12:00:00.5+02:00".parse::<Timestamp>().unwrap());
            assert_eq!(write(names, protocol, &values), write(AsDeclared, protocol, &values));
            assert_eq!(read(names, protocol, &write(names, protocol, &values)), Ok(values));
        }
    }
    let raw: Box<serde_json::value::RawValue> = serde_json::from_str(r#"{"as_it":  "is"}"#).unwrap();
    assert_eq!(write(DotNet, HubProtocol::Json, &raw), br#"{"as_it":  "is"}"#);
    let back: Box<serde_json::value::RawValue> =
        read(DotNet, HubProtocol::Json, raw.get().as_bytes()).unwrap();
    assert_eq!(back.get(), raw.get());
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind_of", content = "its_content")]
enum Adjacent {
    First { some_field: u8 },
    Second(Line),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Internal {
    First { some_field: u8 },
    Second(Line),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    First { some_field: u8 },
    Second(Line),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Flat {
    own_field: Line,
    #[serde(flatten)]
    line: Line,
}

/// What the table of `PropertyNames` says of the types whose fields serde hides.
#[test]
fn tagged_enums_and_flattened_structs() {
    round_trip(
        &Adjacent::Second(line(0.5)),
        &json!({"kindOf": "Second", "itsContent": {"unitPrice": 0.5, "inStock": true}}),
        &json!({"KindOf": "Second", "ItsContent": {"UnitPrice": 0.5, "InStock": true}}),
    );
    for protocol in protocols() {
        let adjacent = Adjacent::First { some_field: 1 };
        assert_eq!(
            wire(PascalCase, protocol, &adjacent),
            json!({"KindOf": "First", "ItsContent": {"SomeField": 1}})
        );
        assert_eq!(read::<Adjacent>(DotNet, protocol, &write(AsDeclared, protocol, &adjacent)), Ok(adjacent));
        let internal = [Internal::First { some_field: 1 }, Internal::Second(line(0.5))];
        assert_eq!(
            wire(PascalCase, protocol, &internal),
            json!([{"Kind": "First", "SomeField": 1}, {"Kind": "Second", "UnitPrice": 0.5, "InStock": true}])
        );
        let untagged = [Untagged::First { some_field: 1 }, Untagged::Second(line(0.5))];
        assert_eq!(
            wire(CamelCase, protocol, &untagged),
            json!([{"someField": 1}, {"unitPrice": 0.5, "inStock": true}])
        );
        let flat = Flat { own_field: line(1.5), line: line(0.5) };
        let written = json!({
            "own_field": {"UnitPrice": 1.5, "InStock": true}, "unit_price": 0.5, "in_stock": true,
        });
        assert_eq!(wire(PascalCase, protocol, &flat), written);
        // Read as declared, with everything that is not hidden in any case.
        assert_eq!(read::<Flat>(DotNet, protocol, &write(PascalCase, protocol, &flat)), Ok(flat));
        let internal = Internal::First { some_field: 1 };
        assert_eq!(read::<Internal>(DotNet, protocol, &write(AsDeclared, protocol, &internal)), Ok(internal));
        let untagged = Untagged::Second(line(0.5));
        assert_eq!(read::<Untagged>(DotNet, protocol, &write(AsDeclared, protocol, &untagged)), Ok(untagged));
    }
    assert!(read_json::<Internal>(DotNet, &json!({"kind": "First", "someField": 1})).is_err());
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Strict {
    #[serde(alias = "old_name")]
    new_name: u8,
}

#[test]
fn aliases_and_unknown_fields() {
    for (json, expected) in [
        (json!({"newName": 1}), Ok(1)),
        (json!({"OLDNAME": 1}), Ok(1)),
        (json!({"new_name": 1}), Ok(1)),
        (json!({"other": 1}), Err("unknown field `other`")),
        (json!({"newName": 1, "oldName": 2}), Err("duplicate field `new_name`")),
        (json!({"newName": "x"}), Err("invalid type: string \"x\"")),
    ] {
        match (read_json::<Strict>(DotNet, &json), expected) {
            (Ok(read), Ok(expected)) => assert_eq!(read.new_name, expected, "{json}"),
            (Err(error), Err(expected)) => assert!(error.contains(expected), "{json}: {error}"),
            (read, _) => panic!("{json}: {read:?}"),
        }
    }
}

/// A field is missing: the error tells what came, of the right object.
#[test]
fn errors_name_the_keys_that_came() {
    fn error<T: DeserializeOwned + Debug>(names: PropertyNames, value: &Value) -> String {
        let errors = protocols().into_iter().map(|protocol| {
            let error = read::<T>(names, protocol, &write(AsDeclared, protocol, value)).unwrap_err();
            // Only serde_json knows positions.
            match error.split_once(" at line 1 column ") {
                Some((before, after)) => {
                    format!("{before}{}", after.trim_start_matches(|c: char| c.is_ascii_digit()))
                }
                None => error,
            }
        });
        let mut errors: Vec<String> = errors.collect();
        errors.dedup();
        assert_eq!(errors.len(), 1, "the same in each protocol: {errors:?}");
        errors.remove(0)
    }

    const HINT: &str =
        "is the same name, written differently: see `HubConnectionBuilder::with_property_names`";
    let wrong_case = json!({"unitPrice": 1.5, "inStock": true});
    assert_eq!(
        error::<Line>(AsDeclared, &wrong_case),
        format!(
            "missing field `unit_price`; the object has the keys `inStock`, `unitPrice`; `unitPrice` {HINT}"
        )
    );
    let nested =
        json!({"b": {"x": 1}, "a": [{"unit_price": 1, "in_stock": true}, {"unit_price": 2, "InStock": 1}]});
    assert_eq!(
        error::<BTreeMap<String, Value>>(AsDeclared, &json!([])).split(',').next(),
        Some("invalid type: sequence"),
        "another mistake is told as before"
    );
    #[derive(Debug, Deserialize)]
    struct Outer {
        #[serde(rename = "b")]
        _b: Value,
        #[serde(rename = "a")]
        _a: Vec<Line>,
    }
    assert_eq!(
        error::<Outer>(AsDeclared, &nested),
        format!(
            "missing field `in_stock`; the object has the keys `InStock`, `unit_price`; `InStock` {HINT}"
        )
    );
    assert_eq!(error::<Line>(DotNet, &json!({})), "missing field `unit_price`; the object has no keys");
    assert_eq!(
        error::<Line>(DotNet, &json!({"UNITPRICE": 1, "other": 2})),
        "missing field `in_stock`; the object has the keys `UNITPRICE`, `other`"
    );
    // Hidden fields too, and not the keys of the object around.
    let hidden =
        json!([{"a_right_one": {"kind": "First", "some_field": 1}, "b": {"kind": "First", "SomeField": 1}}]);
    assert_eq!(
        error::<Vec<BTreeMap<String, Internal>>>(DotNet, &hidden),
        format!(
            "missing field `some_field`; the object has the keys `SomeField`, `kind`; `SomeField` {HINT}"
        )
    );
    assert_eq!(
        error::<Flat>(AsDeclared, &json!({"ownField": 1, "unit_price": 1, "in_stock": true})),
        format!(
            "missing field `own_field`; the object has the keys `in_stock`, `ownField`, `unit_price`; `ownField` {HINT}"
        )
    );
    let variant = json!({"WithFields": {"firstField": {}}});
    assert!(
        error::<Kind>(AsDeclared, &variant).ends_with(&format!("keys `firstField`; `firstField` {HINT}"))
    );
    // However much comes.
    let many: BTreeMap<String, u8> =
        (0..10_000).map(|n| (format!("{n:05}\n{}", "ü".repeat(100)), 0)).collect();
    let text = error::<Line>(AsDeclared, &json!(many));
    assert!(text.contains(r"`00000\nüü") && text.ends_with("…` and 9988 more"), "{text}");
    assert!(text.len() < 2_000, "{}", text.len());
}

#[test]
fn names_are_those_of_dotnet() {
    for (field, camel, pascal) in [
        ("x", "x", "X"),
        ("taken_at", "takenAt", "TakenAt"),
        ("takenAt", "takenAt", "TakenAt"),
        ("TakenAt", "takenAt", "TakenAt"),
        ("ID", "id", "ID"),
        ("IPAddress", "ipAddress", "IPAddress"),
        ("ip_address", "ipAddress", "IpAddress"),
        ("URLValue", "urlValue", "URLValue"),
        ("line_2", "line2", "Line2"),
        ("a__b", "aB", "AB"),
        ("x_y", "xY", "XY"),
        ("type_", "type_", "Type_"),
        ("$type", "$type", "$type"),
        ("_id", "_id", "_id"),
        ("größe_ändern", "größeÄndern", "GrößeÄndern"),
        ("ßa", "ßa", "ßa"),
        ("with-dash", "with-dash", "With-dash"),
        ("", "", ""),
    ] {
        assert_eq!(Style::Camel.name(field), camel, "{field}");
        assert_eq!(Style::Pascal.name(field), pascal, "{field}");
        assert_eq!(Style::Camel.name(field), camel, "{field}, which is known by now");
    }
}

#[test]
fn a_field_is_found_by_its_name_in_any_case() {
    const FIELDS: &[&str] = &["taken_at", "id", "a_b", "ab", "größe"];
    for (name, field) in [
        ("taken_at", None),
        ("takenAt", Some("taken_at")),
        ("TakenAt", Some("taken_at")),
        ("TAKEN_AT", Some("taken_at")),
        ("ID", Some("id")),
        ("ab", None),
        ("AB", Some("a_b")),
        ("Ab", Some("ab")),
        ("GRÖSSE", None),
        ("Größe", Some("größe")),
        ("other", None),
        ("", None),
    ] {
        assert_eq!(find_field(Style::Pascal, FIELDS, name), field, "{name}");
    }
}
