//! From OpenMetrics, which the library writes, to the Prometheus text format, which everybody reads.

/// Rewrites an OpenMetrics exposition. The formats differ in the lines about a family: in the text format the name of a
/// counter includes `_total`, there are no infos, no units and no end mark.
pub(crate) fn to_text_format(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    let mut help = None;
    for line in open_metrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let Some((name, kind)) = rest.split_once(' ') else { continue };
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                other => ("", other),
            };
            let sentence = help.take().map_or("", |(_, sentence)| sentence);
            text.extend(["# HELP ", name, suffix, " ", sentence, "\n"]);
            text.extend(["# TYPE ", name, suffix, " ", kind, "\n"]);
        } else if !line.starts_with('#') {
            // A series of a family without labels has empty braces there.
            match line.split_once("{} ").filter(|(name, _)| !name.contains('{')) {
                Some((name, value)) => text.extend([name, " ", value, "\n"]),
                None => text.extend([line, "\n"]),
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_and_infos_get_the_names_of_the_text_format() {
        let open_metrics = "# HELP a_b Help.\n# TYPE a_b counter\na_b_total{x=\"#\"} 1\n\
             # HELP c Info.\n# TYPE c info\nc_info 1\n# HELP d Gauge.\n# TYPE d gauge\n# UNIT d seconds\nd{} 2\ne{x=\"{} \"} 3\n# EOF\n";
        let text = "# HELP a_b_total Help.\n# TYPE a_b_total counter\na_b_total{x=\"#\"} 1\n\
             # HELP c_info Info.\n# TYPE c_info gauge\nc_info 1\n# HELP d Gauge.\n# TYPE d gauge\nd 2\ne{x=\"{} \"} 3\n";
        assert_eq!(to_text_format(open_metrics), text);
    }
}
