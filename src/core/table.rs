//! A table by numbers that are given in ascending order and leave in any.

/// Entries by ascending number. One that is taken leaves its place until half of the places are empty, so that taking
/// costs a search, and no move of the others, in most cases.
#[derive(Debug)]
pub(crate) struct Table<T> {
    entries: Vec<(u64, Option<T>)>,
    count: usize,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), count: 0 }
    }
}

impl<T> Table<T> {
    /// Adds an entry. The number has to be above all that were added before.
    pub(crate) fn push(&mut self, number: u64, value: T) {
        debug_assert!(self.entries.last().is_none_or(|(last, _)| *last < number), "numbers ascend");
        self.entries.push((number, Some(value)));
        self.count += 1;
    }

    pub(crate) fn get(&self, number: u64) -> Option<&T> {
        self.entries.get(self.find(number)?)?.1.as_ref()
    }

    pub(crate) fn take(&mut self, number: u64) -> Option<T> {
        let at = self.find(number)?;
        let value = self.entries.get_mut(at)?.1.take()?;
        self.count -= 1;
        if self.count <= self.entries.len() / 2 {
            let entries = std::mem::take(&mut self.entries);
            self.entries.extend(entries.into_iter().filter(|(_, value)| value.is_some()));
        }
        Some(value)
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        self.entries.iter().filter_map(|(number, value)| Some((*number, value.as_ref()?)))
    }

    /// Takes all entries, in order.
    #[cfg_attr(not(feature = "client"), allow(dead_code, reason = "only the client empties a table"))]
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = T> + use<T> {
        self.count = 0;
        std::mem::take(&mut self.entries).into_iter().filter_map(|(_, value)| value)
    }

    fn find(&self, number: u64) -> Option<usize> {
        self.entries.binary_search_by_key(&number, |(number, _)| *number).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_leave_in_any_order() {
        let mut table = Table::default();
        for number in 0..100 {
            table.push(2 * number, number);
        }
        for number in (0..100).rev().step_by(3) {
            assert_eq!(table.take(2 * number), Some(number));
            assert_eq!(table.take(2 * number), None);
            assert_eq!(table.take(2 * number + 1), None);
        }
        assert_eq!((table.len(), table.get(2), table.get(0)), (66, Some(&1), None));
        assert!(table.iter().all(|(key, value)| key == 2 * value));
        assert_eq!(table.iter().count(), 66);
        assert_eq!(table.drain().count(), 66);
        assert_eq!(table.len(), 0);
        table.push(7, 1);
        assert_eq!(table.drain().collect::<Vec<_>>(), [1]);
    }
}
