//! The section `server.tls`.

use std::path::Path;

use seawall_testkit::{Authority, Leaf};

use super::{Flags, load};

fn written(section: &str) -> Result<super::Loaded, String> {
    load(&format!("server:\n  tls: {{{section}}}\n"), &[], Flags::default())
}

#[test]
fn a_certificate_and_a_key_belong_together_and_authorities_to_both() {
    for (section, expected) in [
        (
            "cert: a",
            "seawall.yaml:2:15: server.tls.cert: a certificate needs its key: `server.tls.key` is missing",
        ),
        (
            "key: a",
            "seawall.yaml:2:14: server.tls.key: a key needs its certificate: `server.tls.cert` is missing",
        ),
        (
            "clientCA: a",
            "seawall.yaml:2:19: server.tls.clientCA: clients show certificates over TLS only: `server.tls.cert` is missing",
        ),
        ("cert: '', key: b", "seawall.yaml:2:15: server.tls.cert: a file is expected, not empty text"),
        ("cart: a", "seawall.yaml:2:9: server.tls.cart: unknown key; did you mean `cert`?"),
    ] {
        assert_eq!(written(section).unwrap_err(), expected);
    }
    assert!(written("").unwrap().settings.tls.is_none());
}

#[test]
fn the_files_are_looked_at_and_what_is_wrong_is_said_where_they_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new(directory.path());
    let serving = authority.issue("serving", Leaf::serving("seawall"));
    let section = |cert: &Path, key: &Path, authorities: &Path| {
        format!("cert: {}, key: {}, clientCA: {}", cert.display(), key.display(), authorities.display())
    };
    let good = written(&section(&serving.cert, &serving.key, &authority.cert())).unwrap();
    assert_eq!(good.settings.tls.unwrap().client_ca, Some(authority.cert()));
    let none = directory.path().join("none");
    for (section, key) in [
        (section(&none, &serving.key, &authority.cert()), "server.tls.cert"),
        (section(&serving.cert, &none, &authority.cert()), "server.tls.key"),
        (section(&serving.cert, &serving.key, &none), "server.tls.clientCA"),
    ] {
        let refused = written(&section).unwrap_err();
        assert!(
            refused.starts_with("seawall.yaml:2:") && refused.contains(&format!(": {key}: ")),
            "{refused}"
        );
        assert!(refused.contains("none cannot be read"), "{refused}");
    }
}
