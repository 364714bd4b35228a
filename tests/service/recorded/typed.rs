//! Typed hubs: what was called is read from the call in C# that the case quotes.

use serde_json::{Value, json};

use super::{Case, Checked, negotiate, rest};

pub(super) async fn check(case: &Case) -> Checked {
    let text = case.case["sdk_call"].as_str().unwrap_or_default();
    let call = read(text).ok_or_else(|| format!("the call {text:?} cannot be read"))?;
    match call["op"] == "negotiate" {
        true => negotiate::made(case, call).await,
        false => rest::made(case, call).await,
    }
}

/// `typedHub.Clients.User("ann").Receive("hi", 5)`, or `typedHub.NegotiateAsync(new(){ UserId = "ann" })`.
fn read(text: &str) -> Option<Value> {
    if let Some((_, options)) = text.split_once(".NegotiateAsync(") {
        let user = match options.split_once("UserId = ") {
            Some((_, value)) => {
                serde_json::Deserializer::from_str(value).into_iter::<String>().next()?.ok()?.into()
            }
            None if matches!(options.trim_end_matches(';'), ")" | "null)") => Value::Null,
            None => return None,
        };
        return Some(json!({ "op": "negotiate", "user_id": user }));
    }
    let (_, receiver) = text.split_once(".Clients.")?;
    let (kind, mut names, rest) = step(receiver)?;
    // Lists of names, and names one by one.
    if let [.., Value::Array(list)] = &mut *names {
        let list = std::mem::take(list);
        names.pop();
        names.extend(list);
    }
    let first = names.first().cloned().unwrap_or_default();
    let to = match kind {
        "All" => json!({ "kind": "all" }),
        "AllExcept" => json!({ "kind": "all_except", "except": names }),
        "Client" => json!({ "kind": "connection", "connection": first }),
        "Clients" => json!({ "kind": "connections", "connections": names }),
        "Group" => json!({ "kind": "group", "group": first }),
        "GroupExcept" => json!({ "kind": "group_except", "group": first, "except": names.get(1..)? }),
        "Groups" => json!({ "kind": "groups", "groups": names }),
        "User" => json!({ "kind": "user", "user": first }),
        "Users" => json!({ "kind": "users", "users": names }),
        _ => return None,
    };
    let (method, arguments, rest) = step(rest.strip_prefix('.')?)?;
    let ended = matches!(rest.trim(), "" | ";");
    ended.then(|| json!({ "op": "send", "to": to, "method": method, "arguments": arguments }))
}

/// `Name` or `Name(1, "x")`: the name, the arguments, which are written as in JSON, and what follows.
fn step(text: &str) -> Option<(&str, Vec<Value>, &str)> {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.is_empty() {
        return None;
    }
    let Some(list) = rest.strip_prefix('(') else { return Some((name, Vec::new(), rest)) };
    let (mut quoted, mut escaped) = (false, false);
    let end = list.find(|c: char| {
        let ends = c == ')' && !quoted;
        quoted ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })?;
    let arguments = serde_json::from_str(&format!("[{}]", &list[..end])).ok()?;
    Some((name, arguments, &list[end + 1..]))
}

#[test]
fn calls_are_read_or_said_to_be_unreadable() {
    let send = |to: Value, method: &str, arguments: Value| {
        Some(json!({ "op": "send", "to": to, "method": method, "arguments": arguments }))
    };
    for (text, expected) in [
        (
            r#"typedHub.Clients.User("a\"b)").Receive("ann", [1, null]);"#,
            send(json!({ "kind": "user", "user": "a\"b)" }), "Receive", json!(["ann", [1, null]])),
        ),
        ("typedHub.Clients.All.Tick(5)", send(json!({ "kind": "all" }), "Tick", json!([5]))),
        (
            r#"hub.Clients.GroupExcept("g", ["c1", "c2"]).Tick()"#,
            send(json!({ "kind": "group_except", "group": "g", "except": ["c1", "c2"] }), "Tick", json!([])),
        ),
        (
            r#"typedHub.NegotiateAsync(new(){ UserId = "ann" })"#,
            Some(json!({ "op": "negotiate", "user_id": "ann" })),
        ),
        ("typedHub.NegotiateAsync()", Some(json!({ "op": "negotiate", "user_id": null }))),
        ("typedHub.NegotiateAsync(new(){ UserId = user })", None),
        ("typedHub.Clients.User(user).Receive(1)", None),
        ("typedHub.Clients.Nobody(1).Receive(1)", None),
        ("typedHub.Clients.All.Receive(1).More()", None),
        ("", None),
    ] {
        assert_eq!(read(text), expected, "{text}");
    }
}
