//! What was measured, as a table.

/// Which figure is the better one.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Better {
    More,
    Less,
}

#[derive(Default)]
pub(crate) struct Table {
    columns: Vec<&'static str>,
    rows: Vec<Row>,
}

struct Row {
    name: String,
    better: Better,
    /// One for each column.
    figures: Vec<Option<f64>>,
}

/// Where the figures of one server go.
pub(crate) struct Figures<'t> {
    table: &'t mut Table,
    wanted: &'t [String],
}

impl Table {
    /// Begins a column. Workloads are measured whose names contain one of the words that are wanted.
    pub(crate) fn column<'t>(&'t mut self, name: &'static str, wanted: &'t [String]) -> Figures<'t> {
        println!("{name} …");
        self.columns.push(name);
        Figures { table: self, wanted }
    }

    /// Prints it, and how much better the first column is than the others: above 1 is better.
    pub(crate) fn print(&self) {
        let Some((ours, others)) = self.columns.split_first() else { return };
        print!("\n{:<58} {ours:>9}", "");
        others.iter().for_each(|name| print!(" {name:>9} {:>7}", "ratio"));
        println!();
        for Row { name, better, figures } in &self.rows {
            print!("{name:<58}");
            let ours = figures.first().copied().flatten();
            print(ours);
            for at in 1..self.columns.len() {
                let theirs = figures.get(at).copied().flatten();
                print(theirs);
                match (ours, theirs) {
                    (Some(ours), Some(theirs)) if *better == Better::More => {
                        print!(" {:>6.2}x", ours / theirs)
                    }
                    (Some(ours), Some(theirs)) => print!(" {:>6.2}x", theirs / ours),
                    _ => print!(" {:>7}", ""),
                }
            }
            println!();
        }
    }
}

fn print(figure: Option<f64>) {
    match figure {
        Some(figure) if figure < 100.0 => print!(" {figure:>9.1}"),
        Some(figure) => print!(" {figure:>9.0}"),
        None => print!(" {:>9}", "-"),
    }
}

impl Figures<'_> {
    pub(crate) fn wants(&self, workload: &str) -> bool {
        self.wanted.is_empty() || self.wanted.iter().any(|part| workload.contains(&**part))
    }

    /// Adds a figure of this column.
    pub(crate) fn add(&mut self, name: &str, better: Better, figure: f64) {
        println!("  {name}: {figure:.1}");
        let at = self.table.columns.len() - 1;
        let rows = &mut self.table.rows;
        let row = match rows.iter().position(|row| row.name == name) {
            Some(row) => row,
            None => {
                rows.push(Row { name: name.to_owned(), better, figures: Vec::new() });
                rows.len() - 1
            }
        };
        let figures = &mut rows[row].figures;
        figures.resize(at, None);
        figures.push(Some(figure));
    }
}
