//! Names that are nearly right.

/// How many letters of a name may be wrong for it to be taken for a slip: one in four, and three at most.
fn tolerance(name: &str) -> usize {
    (name.len() / 4).min(3)
}

/// The known name that a text most likely stands for, without being it.
pub(crate) fn near<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let text = text.to_ascii_lowercase();
    let distances = known.into_iter().filter_map(|name| {
        // A long text is none of these names, and would take long to compare.
        let close = text.len().abs_diff(name.len()) <= tolerance(name);
        let distance = if close { distance(&text, &name.to_ascii_lowercase()) } else { return None };
        (distance > 0 && distance <= tolerance(name)).then_some((distance, name))
    });
    distances.min_by_key(|&(distance, _)| distance).map(|(_, name)| name)
}

/// How many letters have to be inserted, removed, replaced or swapped with the next one: the distance of optimal string
/// alignment.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognized_and_other_names_are_not() {
        let known = ["clientId", "clientSecret", "tenantId", "AZURE_CLIENT_ID", "C"];
        for (text, meant) in [
            ("clientSecert", Some("clientSecret")),
            ("CLIENTSECRETS", Some("clientSecret")),
            ("clinetid", Some("clientId")),
            ("tenantId", None),
            ("tennantid", Some("tenantId")),
            ("AZURE_CLIENTID", Some("AZURE_CLIENT_ID")),
            ("D", None),
            ("", None),
            ("server", None),
        ] {
            assert_eq!(near(text, known), meant, "{text}");
        }
        assert_eq!(distance("ca", "abc"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
