//! Prometheus text, read back.

use std::collections::BTreeMap;

/// The samples of one scrape by name and labels, as they stand in the text.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    /// Name with labels to value.
    values: BTreeMap<String, f64>,
    /// Names in `# TYPE` lines, in order, without what their kind appends.
    pub families: Vec<String>,
}

impl Samples {
    pub fn parse(text: &str) -> Self {
        let mut samples = Self::default();
        for line in text.lines() {
            if let Some(family) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split(' ').next()) {
                let family = ["_total", "_info"]
                    .iter()
                    .find_map(|suffix| family.strip_suffix(suffix))
                    .unwrap_or(family);
                samples.families.push(family.to_owned());
            } else if !line.starts_with('#')
                && let Some((series, value)) = line.rsplit_once(' ')
                && let Ok(value) = value.parse()
            {
                samples.values.insert(series.to_owned(), value);
            }
        }
        samples
    }

    /// The sum over all series of a name whose labels contain every one of `labels` (`name="value"`).
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let is_it = |series: &str| {
            let own = series.split('{').next().unwrap_or(series);
            own == name && labels.iter().all(|label| series.contains(label))
        };
        self.values.iter().filter(|(series, _)| is_it(series)).map(|(_, value)| value).sum()
    }

    /// Series of a family, whatever suffix its kind appends, that are not zero.
    pub fn moved(&self, family: &str) -> bool {
        ["", "_total", "_count", "_info"].iter().any(|suffix| {
            let name = format!("{family}{suffix}");
            self.values.iter().any(|(series, value)| series.split('{').next() == Some(&name) && *value != 0.0)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_summed_over_the_labels_that_were_not_named() {
        let text = "# TYPE a_total counter\na_total{x=\"1\",y=\"1\"} 2\na_total{x=\"1\",y=\"2\"} 3\na_total{x=\"2\"} 5\n";
        let samples = Samples::parse(text);
        assert_eq!(samples.families, ["a"]);
        assert!((samples.sum("a_total", &["x=\"1\""]) - 5.0).abs() < f64::EPSILON);
        assert!(samples.moved("a"));
    }
}
