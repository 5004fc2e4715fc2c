//! The result: figures with their targets first, then what they were computed from.

use std::fmt::{self, Write};

/// One line of the table that the targets are about.
pub struct Figure {
    pub name: String,
    pub measured: String,
    pub target: String,
    pub reached: bool,
}

/// A table of measurements with a sentence on how they were taken.
pub struct Section {
    pub title: String,
    pub note: String,
    pub header: Vec<&'static str>,
    pub rows: Vec<Vec<String>>,
}

#[derive(Default)]
pub struct Report {
    pub environment: Vec<(&'static str, String)>,
    pub figures: Vec<Figure>,
    pub sections: Vec<Section>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# Measurements\n")?;
        for (name, value) in &self.environment {
            writeln!(f, "- {name}: {value}")?;
        }
        if !self.figures.is_empty() {
            writeln!(f, "\n## Figures and targets\n")?;
            let rows = self.figures.iter().map(|figure| {
                let reached = if figure.reached { "yes" } else { "**no**" };
                vec![figure.name.clone(), figure.measured.clone(), figure.target.clone(), reached.to_owned()]
            });
            write_table(f, &["figure", "measured", "target", "reached"], rows)?;
        }
        for section in &self.sections {
            writeln!(f, "\n## {}\n\n{}\n", section.title, section.note)?;
            write_table(f, &section.header, section.rows.iter().cloned())?;
        }
        Ok(())
    }
}

fn write_table(
    f: &mut fmt::Formatter<'_>,
    header: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
) -> fmt::Result {
    writeln!(f, "| {} |", header.join(" | "))?;
    let mut rule = String::from("|");
    for column in 0..header.len() {
        rule.push_str(if column == 0 { " --- |" } else { " ---: |" });
    }
    writeln!(f, "{rule}")?;
    for row in rows {
        writeln!(f, "| {} |", row.join(" | "))?;
    }
    Ok(())
}

/// The middle one; of an even number the mean of the middle two.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => values[count / 2],
        count => f64::midpoint(values[count / 2 - 1], values[count / 2]),
    }
}

/// A whole number with its thousands apart.
pub fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

pub fn mebibytes(bytes: f64) -> String {
    format!("{:.1} MiB", bytes / f64::from(1 << 20))
}

/// Microseconds for people.
pub fn micros(value: u64) -> String {
    if value < 1_000 { format!("{value} µs") } else { format!("{:.2} ms", value as f64 / 1e3) }
}

/// All values of the rounds, so that a reader sees how far they are apart.
pub fn spread(values: impl IntoIterator<Item = f64>) -> String {
    let mut text = String::new();
    for value in values {
        let separator = if text.is_empty() { "" } else { " / " };
        // Writing to a string cannot fail.
        let _ = write!(text, "{separator}{}", grouped(value));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_not_moved_by_one_bad_round() {
        assert_eq!(median([1.0, 900.0, 2.0]), 2.0);
        assert_eq!(median([1.0, 3.0]), 2.0);
    }

    #[test]
    fn thousands_stand_apart() {
        assert_eq!(grouped(1_234_567.0), "1\u{202f}234\u{202f}567");
        assert_eq!(grouped(12.4), "12");
    }
}
