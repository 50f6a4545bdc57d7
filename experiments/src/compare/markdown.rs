//! Tables, as Markdown and in columns.

use hstep::stats::Interval;

/// Markdown, line by line.
#[derive(Debug, Default)]
pub struct Markdown(String);

impl Markdown {
    /// A paragraph, with an empty line before it unless it is the first, and one after it.
    pub fn text(&mut self, text: &str) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        self.0.push_str(text);
        self.0.push_str("\n\n");
    }

    /// The head of a table.
    pub fn head<S: AsRef<str>>(&mut self, cells: &[S]) {
        self.row(cells);
        self.0.push_str(&format!("|{}\n", "---|".repeat(cells.len())));
    }

    /// A row; an empty first cell in the head is written as nothing.
    pub fn row<S: AsRef<str>>(&mut self, cells: &[S]) {
        let cells: Vec<String> = cells
            .iter()
            .map(AsRef::as_ref)
            .map(|c| if c.is_empty() { " |".to_owned() } else { format!(" {c} |") })
            .collect();
        self.0.push_str(&format!("|{}\n", cells.concat()));
    }

    /// Everything written.
    pub fn finish(self) -> String {
        self.0
    }
}

/// An interval as `[low, high]`.
pub fn interval(i: &Interval, decimals: usize) -> String {
    format!("[{:.decimals$}, {:.decimals$}]", i.low, i.high)
}

/// A table before it has a form.
#[derive(Debug, Default)]
pub struct Grid {
    /// Its title.
    pub title: String,
    /// The names of its columns.
    pub head: Vec<String>,
    /// A cell a column.
    pub rows: Vec<Vec<String>>,
}

impl Grid {
    /// Columns of equal width, the first to the left and the others to the right.
    pub fn text(&self) -> String {
        let all = || std::iter::once(&self.head).chain(&self.rows);
        let wide = |i: usize| all().map(|row| row[i].chars().count()).max().unwrap_or(0);
        let mut out = format!("{}\n", self.title);
        for row in all() {
            let cells = row.iter().enumerate().map(|(i, cell)| match i {
                0 => format!("{cell:<w$}", w = wide(0)),
                _ => format!("  {cell:>w$}", w = wide(i)),
            });
            out.push_str(cells.collect::<String>().trim_end());
            out.push('\n');
        }
        out
    }

    /// The same in Markdown.
    pub fn markdown(&self, out: &mut Markdown) {
        out.text(&self.title);
        out.head(&self.head);
        self.rows.iter().for_each(|row| out.row(row));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let grid = Grid {
            title: "T".into(),
            head: vec!["".into(), "mean".into()],
            rows: vec![vec!["long".into(), "−1".into()]],
        };
        assert_eq!(grid.text(), "T\n      mean\nlong    −1\n");
        let mut out = Markdown::default();
        grid.markdown(&mut out);
        assert_eq!(out.finish(), "T\n\n| | mean |\n|---|---|\n| long | −1 |\n");
    }
}
