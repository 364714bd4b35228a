//! What a peer's headers have in common, however they are encoded.

use std::collections::BTreeSet;

/// Of entries with the same name only the last one counts, as in the official parsers. The others keep their order.
///
/// The peer chooses how many there are and what they are called, so that no name may be compared with every other.
pub(super) fn keep_last<N: Ord, V>(entries: &mut Vec<(N, V)>) {
    if entries.len() < 2 {
        return;
    }
    let mut later = BTreeSet::new();
    let last: Vec<bool> = entries.iter().rev().map(|(name, _)| later.insert(name)).collect();
    if later.len() < entries.len() {
        let mut last = last.into_iter().rev();
        entries.retain(|_| last.next().unwrap_or(true));
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::cmp::Ordering;

    use super::*;
    use crate::core::message::MAX_ENTRIES;

    #[test]
    fn of_doubles_the_last_one_stays() {
        for (entries, wanted) in [
            (&[][..], &[][..]),
            (&[("a", 1)], &[("a", 1)]),
            (&[("b", 1), ("a", 2)], &[("b", 1), ("a", 2)]),
            (&[("a", 1), ("b", 2), ("a", 3)], &[("b", 2), ("a", 3)]),
            (&[("a", 1), ("a", 2), ("a", 3)], &[("a", 3)]),
            (&[("a", 1), ("b", 2), ("b", 3), ("c", 4), ("a", 5)], &[("b", 3), ("c", 4), ("a", 5)]),
        ] {
            let mut kept = entries.to_vec();
            keep_last(&mut kept);
            assert_eq!(kept, wanted, "{entries:?}");
        }
    }

    #[derive(Clone)]
    struct Name<'a>(usize, &'a Cell<usize>);

    impl PartialEq for Name<'_> {
        fn eq(&self, other: &Self) -> bool {
            self.cmp(other) == Ordering::Equal
        }
    }

    impl Eq for Name<'_> {}

    impl PartialOrd for Name<'_> {
        fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
            Some(self.cmp(other))
        }
    }

    impl Ord for Name<'_> {
        fn cmp(&self, other: &Self) -> Ordering {
            self.1.set(self.1.get() + 1);
            self.0.cmp(&other.0)
        }
    }

    #[test]
    fn no_name_is_compared_with_every_other() {
        let compared = Cell::new(0);
        for step in [1, 7, MAX_ENTRIES - 1] {
            compared.set(0);
            let names = (0..MAX_ENTRIES).map(|n| (Name(n * step % MAX_ENTRIES, &compared), ()));
            let mut entries: Vec<_> = names.collect();
            keep_last(&mut entries);
            assert_eq!(entries.len(), MAX_ENTRIES);
            // Every pair would be half a million.
            assert!(compared.get() < 50 * MAX_ENTRIES, "{}", compared.get());
        }
    }
}
