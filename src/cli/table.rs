//! Lists for a person: tables and facts that fit 80 columns, whatever a site has called itself.
//!
//! Deliberately absent: the terminal's own width, so that a list looks the same in a pipe.

use std::fmt;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::output::shown;
pub(super) use crate::calendar::date;

/// What every terminal shows in a line.
const COLUMNS: usize = 80;
/// Spaces between two columns.
const GAP: usize = 2;
/// A fact's lines are no longer than this, so that hexadecimal breaks where bytes are counted.
const PART: usize = 64;
/// A column is not cut below this.
const LEAST: usize = 8;
/// Stands for what was cut off.
const CUT: char = '…';

/// How wide a column may get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// As wide as what is in it.
    Whole,
    /// As wide, but for what the line has no room for.
    Cut,
}

/// Rows under titles.
pub(super) struct Table {
    columns: Vec<(&'static str, Fit)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(columns: &[(&'static str, Fit)]) -> Self {
        Self {
            columns: columns.to_vec(),
            rows: Vec::new(),
        }
    }

    /// A row, with a cell for each column.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells = cells.into_iter().map(|cell| shown(&cell));
        self.rows.push(cells.collect());
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<_> = self.columns.iter().map(|(title, _)| width(title)).collect();
        for row in &self.rows {
            for (widest, cell) in widths.iter_mut().zip(row) {
                *widest = (*widest).max(width(cell));
            }
        }
        let gaps = GAP * self.columns.len().saturating_sub(1);
        while widths.iter().sum::<usize>() + gaps > COLUMNS {
            let widest = widths
                .iter_mut()
                .zip(&self.columns)
                .filter(|(width, (_, fit))| *fit == Fit::Cut && **width > LEAST)
                .max_by_key(|(width, _)| **width);
            match widest {
                Some((width, _)) => *width -= 1,
                None => break,
            }
        }
        widths
    }
}

impl fmt::Display for Table {
    /// Lines without an end behind the last.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        let titles = self.columns.iter().map(|(title, _)| (*title).to_owned());
        let titles = [titles.collect::<Vec<_>>()];
        for (number, row) in titles.iter().chain(&self.rows).enumerate() {
            if number > 0 {
                writeln!(f)?;
            }
            let mut line = String::new();
            for (cell, wide) in row.iter().zip(&widths) {
                let cell = cut(cell, *wide);
                line.push_str(&cell);
                let padding = wide.saturating_sub(width(&cell)) + GAP;
                line.extend(std::iter::repeat_n(' ', padding));
            }
            f.write_str(line.trim_end())?;
        }
        Ok(())
    }
}

/// Names and values below each other; a value that is too long goes on in the next line.
pub(super) fn facts(facts: &[(&str, String)]) -> String {
    let names = facts.iter().map(|(name, _)| width(name)).max().unwrap_or(0) + GAP;
    let room = COLUMNS.saturating_sub(names).clamp(LEAST, PART);
    let mut lines = Vec::new();
    for (name, value) in facts {
        let mut name = *name;
        for part in parts(&shown(value), room) {
            let padding = " ".repeat(names.saturating_sub(width(name)));
            lines.push(format!("{name}{padding}{part}"));
            name = "";
        }
    }
    lines.join("\n")
}

/// Sentences in lines of 80 columns. What has no space in it, such as a path, stays whole.
pub(super) fn wrapped(text: &str) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        let mut kept = String::new();
        for word in line.split_inclusive(' ') {
            let longer = width(&kept) + width(word.trim_end());
            if longer > COLUMNS && !kept.trim().is_empty() {
                lines.push(kept.trim_end().to_owned());
                kept.clear();
            }
            kept.push_str(word);
        }
        lines.push(kept.trim_end().to_owned());
    }
    lines.join("\n")
}

/// A text in parts that are no wider than `room`, broken at spaces where there are any.
pub(super) fn parts(text: &str, room: usize) -> Vec<String> {
    let mut parts = vec![String::new()];
    for word in text.split_inclusive(' ') {
        let mut line = parts.pop().unwrap_or_default();
        if !line.is_empty() && width(&line) + width(word.trim_end()) > room {
            parts.push(line.trim_end().to_owned());
            line = String::new();
        }
        for c in word.chars() {
            if width(&line) + c.width().unwrap_or(0) > room && c != ' ' {
                parts.push(line);
                line = String::new();
            }
            line.push(c);
        }
        parts.push(line);
    }
    if let Some(last) = parts.last_mut() {
        last.truncate(last.trim_end().len());
    }
    parts
}

/// `text` cut to `room` columns.
fn cut(text: &str, room: usize) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    let mut kept = String::new();
    for c in text.chars() {
        let mut longer = kept.clone();
        longer.push(c);
        if width(&longer) + 1 > room {
            break;
        }
        kept = longer;
    }
    kept.push(CUT);
    kept
}

/// The columns of a text. A sequence of characters that some terminals join and others do not
/// counts as on those that do not.
fn width(text: &str) -> usize {
    let apart = text.chars().map(|c| c.width().unwrap_or(0)).sum();
    text.width().max(apart)
}

/// `1 passkey`, `2 passkeys`.
pub(super) fn count(number: usize, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(cells: &[&str]) -> String {
        let mut table = Table::new(&[("ID", Fit::Whole), ("SITE", Fit::Cut), ("NAME", Fit::Cut)]);
        table.row(cells.iter().map(|cell| (*cell).to_owned()));
        table.to_string()
    }

    #[test]
    fn short_cells_stand_under_their_titles() {
        assert_eq!(
            table(&["1", "example.com", "alice"]),
            "ID  SITE         NAME\n1   example.com  alice"
        );
    }

    #[test]
    fn long_and_wide_cells_are_cut_to_80_columns() {
        let cases = ["a".repeat(300), "東京".repeat(90), "é\u{301}".repeat(200)];
        for site in &cases {
            for name in cases.iter().map(String::as_str).chain(["alice"]) {
                let text = table(&["12345678", site, name]);
                let line = text.lines().nth(1).expect("a row");
                assert!(width(line) <= COLUMNS, "{}: {line}", width(line));
                assert!(width(line) >= COLUMNS - 3, "the room is used: {line}");
                assert!(line.starts_with("12345678  "), "{line}");
                assert!(line.contains(CUT), "{line}");
            }
        }
    }

    #[test]
    fn cell_is_one_line_of_characters_that_do_not_mislead() {
        let text = table(&["1", "a\nb\u{1b}[2J", "moc.\u{202e}evil"]);
        assert_eq!(text.lines().count(), 2);
        assert!(!text.contains(['\u{1b}', '\u{202e}']));
    }

    #[test]
    fn long_fact_goes_on_below_its_beginning() {
        let text = facts(&[
            ("id", "0123456789abcdef".repeat(8)),
            ("name", String::new()),
        ]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[0].starts_with("id    0123"));
        assert!(lines[1].starts_with("      "));
        assert!(lines.iter().all(|line| width(line) <= COLUMNS));
        let words = facts(&[("says", "four words and more ".repeat(9))]);
        assert!(
            words
                .lines()
                .all(|line| width(line) <= COLUMNS && !line.ends_with(' '))
        );
        assert!(
            words
                .lines()
                .skip(1)
                .all(|line| !line.trim_start().starts_with("ore"))
        );
    }

    #[test]
    fn sentence_is_wrapped_and_a_path_stays_whole() {
        let path = "/a".repeat(60);
        let text = wrapped(&format!("{} {path} end\n\n  list", "some words".repeat(12)));
        assert!(text.contains(&path));
        let long = text.lines().filter(|line| width(line) > COLUMNS);
        assert_eq!(long.collect::<Vec<_>>(), [path]);
        assert!(text.ends_with("\nend\n\n  list"), "{text}");
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        let days = [
            (0, "1970-01-01"),
            (951_782_399, "2000-02-28"),
            (951_782_400, "2000-02-29"),
            (1_735_689_600, "2025-01-01"),
            (4_107_542_400, "2100-03-01"),
        ];
        for (seconds, day) in days {
            assert_eq!(date(seconds), day);
        }
    }
}
