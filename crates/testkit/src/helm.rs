//! The real helm.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::built;

/// What the chart in a folder makes of values (YAML), or what helm complains about. The release has the name of the
/// namespace.
pub fn render_chart(chart: &Path, namespace: &str, values: &str) -> Result<String, String> {
    let mut helm = Command::new(built::find("helm", "helm"))
        .args(["template", namespace])
        .arg(chart)
        .args(["--namespace", namespace, "--values", "-"])
        // Without a cluster to ask, helm goes by what it was built with, which may be nothing.
        .args(["--kube-version", "1.34"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("helm can be started");
    let mut stdin = helm.stdin.take().expect("its input is a pipe");
    stdin.write_all(values.as_bytes()).expect("helm reads its values");
    drop(stdin);
    let output = helm.wait_with_output().expect("helm ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(text(&output.stderr)),
    }
}
