//! Columns for people.

use seawall_model::Timestamp;

/// Rows under headings, as wide as they need to be.
pub struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

/// Spaces between two columns.
const GAP: usize = 2;

impl Table {
    pub fn new(headings: &[&'static str]) -> Self {
        Self { headings: headings.to_vec(), rows: Vec::new() }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        self.rows.push(cells.into_iter().map(|cell| shown(&cell.into())).collect());
    }

    pub fn render(&self) -> String {
        let headings: Vec<String> = self.headings.iter().map(|&heading| heading.to_owned()).collect();
        let lines: Vec<&Vec<String>> = std::iter::once(&headings).chain(&self.rows).collect();
        let widths: Vec<usize> = (0..headings.len())
            .map(|column| {
                lines.iter().filter_map(|line| line.get(column)).map(|cell| width(cell)).max().unwrap_or(0)
            })
            .collect();
        let mut text = String::new();
        for line in lines {
            let mut padded = String::new();
            for (cell, column) in line.iter().zip(&widths) {
                padded.push_str(cell);
                padded.extend(std::iter::repeat_n(' ', column - width(cell) + GAP));
            }
            text.push_str(padded.trim_end());
            text.push('\n');
        }
        text
    }
}

fn width(cell: &str) -> usize {
    cell.chars().count()
}

/// Names come from senders: what would move the cursor or colour the terminal is shown instead of done.
pub fn shown(cell: &str) -> String {
    match cell {
        "" => "-".to_owned(),
        _ => cell
            .chars()
            .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() })
            .collect(),
    }
}

/// How long ago, in its largest unit.
pub fn age(then: Timestamp, now: Timestamp) -> String {
    let seconds = ((now - then) / 1000).max(0);
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=7_199 => format!("{}m", seconds / 60),
        7_200..=172_799 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["NAME", "ALERTS", "SIGNAL"]);
        table.row(["rr-1", "15", "PodCrashLooping"]);
        table.row(["rr-22222", "", "Größe"]);
        assert_eq!(
            table.render(),
            "NAME      ALERTS  SIGNAL\n\
             rr-1      15      PodCrashLooping\n\
             rr-22222  -       Größe\n"
        );
    }

    #[test]
    fn control_characters_of_senders_do_not_reach_the_terminal() {
        let mut table = Table::new(&["NAME"]);
        table.row(["\u{1b}[31mred\n"]);
        assert_eq!(table.render(), "NAME\n\\u{1b}[31mred\\n\n");
    }

    #[test]
    fn ages_are_shown_in_their_largest_unit() {
        let now = Timestamp::from_millis(1_000_000_000);
        for (seconds, text) in
            [(0, "0s"), (119, "119s"), (120, "2m"), (7_200, "2h"), (172_800, "2d"), (-5, "0s")]
        {
            assert_eq!(age(now - seconds * 1000, now), text);
        }
    }
}
