//! Filters that hold, filters that do not, and what is not a filter.

use super::*;

fn matches(filter: &str, user: Option<&str>) -> Result<bool, &'static str> {
    let groups = HashSet::from(["g".to_owned(), "it's".to_owned()]);
    Filter::parse(filter).map(|filter| filter.matches("c", user, &groups))
}

#[test]
fn filters_match() {
    for (filter, expected) in [
        ("", true),
        (" \t", true),
        ("true", true),
        ("FALSE", false),
        ("userId eq 'user-1'", true),
        ("userid EQ 'user-1'", true),
        ("'user-1' eq USERID", true),
        ("userId eq 'User-1'", false),
        ("userId ne 'user-1'", false),
        ("userId eq null", false),
        ("userId ne null", true),
        ("userId gt 'user-0' and userId lt 'user-2'", true),
        ("userId ge 'user-1' and userId le 'user-1'", true),
        ("connectionId eq 'c'", true),
        ("connectionId in ('a', 'b')", false),
        ("connectionId in ('a','b','c')", true),
        ("userId in (null, 'user-1')", true),
        ("length(userId) in (5, 6)", true),
        ("'g' in groups", true),
        ("'G' in groups", false),
        ("'it''s' in (groups)", true),
        ("userId in groups", false),
        ("not ('g' in groups)", false),
        ("not (userId eq 'x')", true),
        ("not not true", true),
        ("not startswith(userId, 'x')", true),
        ("startswith(userId, 'user-')", true),
        ("startswith(userId, 'user-') eq true", true),
        ("StartsWith(userId,'ser')", false),
        ("endswith(userId, '-1')", true),
        ("contains(userId, 'r-')", true),
        ("contains('r-', userId)", false),
        ("indexof(userId, 'r') eq 3", true),
        ("indexof(userId, 'x') eq -1", true),
        ("length(userId) eq +6", true),
        ("length(groups) gt 1", true),
        ("length((groups)) gt 2", false),
        ("tolower('ABC') eq 'abc' and toupper(userId) eq 'USER-1'", true),
        ("trim('  a ') eq 'a'", true),
        ("concat(userId, concat('/', connectionId)) eq 'user-1/c'", true),
        ("substring(userId, 4) eq '-1'", true),
        ("substring(userId, 1, 3) eq 'ser'", true),
        ("substring(userId, 10, 3) eq ''", true),
        ("userId eq 'x' or 'g' in groups and connectionId eq 'c'", true),
        ("(userId eq 'x' or 'g' in groups) and connectionId eq 'x'", false),
        ("length(userId) gt 0 and length(userId) lt 3 or length(userId) gt 5 and length(userId) lt 10", true),
        ("userId eq 'user-1' or (not (startswith(userId,'user2')))", true),
        ("((userId)) eq ('user-1')", true),
        ("('g' in groups) eq (connectionId eq 'c')", true),
        ("null eq null", true),
        ("length('\u{1f600}') eq 2 and substring('\u{1f600}x', 2) eq 'x'", true),
    ] {
        assert_eq!(matches(filter, Some("user-1")), Ok(expected), "{filter}");
    }
}

#[test]
fn nobody_is_null() {
    for (filter, expected) in [
        ("userId eq null", true),
        ("userId ne null", false),
        ("userId eq ''", false),
        ("userId ne 'u'", true),
        ("userId gt 'a'", false),
        ("userId le 'a'", false),
        ("userId ge null", false),
        ("startswith(userId, '')", false),
        ("not startswith(userId, 'u')", true),
        ("length(userId) eq null", true),
        ("length(userId) ge 0", false),
        ("indexof(userId, 'a') eq -1", false),
        ("tolower(userId) eq null", true),
        ("concat(userId, 'x') eq null", true),
        ("userId in ('a', null)", true),
        ("userId in groups", false),
    ] {
        assert_eq!(matches(filter, None), Ok(expected), "{filter}");
    }
}

#[test]
fn what_is_not_a_filter_is_refused() {
    let parentheses = |depth: usize| format!("{}true{}", "(".repeat(depth), ")".repeat(depth));
    let deep = parentheses(100_000);
    let nested = parentheses(33);
    let many = vec!["true"; 1000].join(" or ");
    for filter in [
        "userId",
        "null",
        "1",
        "userId eq",
        "userId eq u",
        "userId eq 'u",
        "age eq 'u'",
        "role eq 'admin'",
        "userId eq 1",
        "userId gt true",
        "true gt false",
        "length(userId) eq 'x'",
        "not length(userId) gt 5",
        "not 'g' in groups",
        "not userId eq 'x'",
        "userId and true",
        "true or 1",
        "'g'",
        "'g' in",
        "'g' in group",
        "1 in groups",
        "groups eq 'g'",
        "groups",
        "userId in ()",
        "userId in ('a', 1)",
        "userId in ('a'",
        "userId in 'a'",
        "(userId eq 'u'",
        "userId eq 'u')",
        "not",
        "true true",
        "1.5 eq 1",
        "99999999999999999999 eq 1",
        "- eq 1",
        "length(userId, userId) eq 1",
        "length() eq 1",
        "length(1) eq 1",
        "length(groups",
        "contains(userId)",
        "contains(userId, 'a', 'b')",
        "startswith(groups, 'a')",
        "substring(userId) eq 'a'",
        "substring(userId, 'a') eq 'a'",
        "substring(userId, 1, 2, 3) eq 'a'",
        "matches(userId, 'a')",
        "userId = 'u'",
        "userId eq \"u\"",
        &deep,
        &nested,
        &many,
    ] {
        assert!(Filter::parse(filter).is_err(), "{}", filter.get(..80).unwrap_or(filter));
    }
    assert!(Filter::parse(&parentheses(10)).is_ok());
}
