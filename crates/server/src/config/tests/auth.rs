//! Who is asked who they are.

use super::*;

#[test]
fn an_address_that_others_reach_is_refused_unless_allowed() {
    for listen in ["0.0.0.0:8080", "[::]:8080", "192.0.2.1:80", "[::ffff:192.0.2.1]:80"] {
        let flags =
            |allow_anonymous| Flags { listen: Some(listen.into()), allow_anonymous, ..Flags::default() };
        let refused = load("", &[], flags(false)).unwrap_err();
        assert_eq!(
            refused,
            format!(
                "--listen: server.listen: `{listen}` can be reached by other machines, and nobody is asked who \
                 they are; set `auth.identitiesFile`, turn on `auth.kubernetes`, listen on a loopback address, or start \
                 with --allow-anonymous"
            )
        );
        assert_eq!(load("", &[], flags(true)).unwrap().warnings.len(), 1);
    }
    for listen in ["127.0.0.2:80", "[::1]:80", "localhost:80", "[::ffff:127.0.0.1]:80"] {
        assert!(load("", &[], Flags { listen: Some(listen.into()), ..Flags::default() }).is_ok(), "{listen}");
    }
}

#[test]
fn an_address_that_others_reach_is_fine_where_everybody_is_asked_who_they_are() {
    let file = "server: {listen: '0.0.0.0:8080', metricsListen: '0.0.0.0:9090'}\nauth: {kubernetes: {enabled: true}}";
    let loaded = load(file, &[], Flags::default()).unwrap();
    assert_eq!(loaded.warnings, Vec::<String>::new());
    assert!(loaded.settings.wants_cluster());
}

#[test]
fn an_identities_file_is_read_with_the_configuration_and_opens_other_addresses() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("identities.yaml");
    let yaml = format!("server: {{listen: '0.0.0.0:8080'}}\nauth: {{identitiesFile: {}}}", file.display());
    let place = format!("{}: cannot be read: ", file.display());
    let missing = message(&yaml);
    assert!(missing.starts_with(&place), "{missing}");
    std::fs::write(&file, "- {name: sender, bearer: [hunter2]}\n- {name: b, bearer: [t], verbs: [sned]}")
        .unwrap();
    let wrong = message(&yaml);
    assert!(wrong.contains("identities.yaml:2:34: [1].verbs[0]: `sned` is not known"), "{wrong}");
    std::fs::write(&file, "- {name: sender, bearer: [hunter2]}").unwrap();
    let loaded = load(&yaml, &[], Flags::default()).unwrap();
    assert_eq!(loaded.warnings, Vec::<String>::new());
    assert!(!loaded.settings.wants_cluster());
    assert_eq!(format!("{:?}", loaded.settings.identities), "Some({\"sender\"})");
    assert!(settings("").identities.is_none());
    std::fs::write(&file, "- {name: sender, certificate: sender.monitoring}").unwrap();
    let warnings = load(&yaml, &[], Flags::default()).unwrap().warnings;
    assert!(
        matches!(&*warnings, [one] if one.contains("`sender` cannot show a certificate; `server.tls.clientCA` is missing")),
        "{warnings:?}"
    );
}

#[test]
fn reviews_are_asked_for_as_configured_and_end_well_before_the_request_does() {
    let reviews = |file: &str| load(file, &[], Flags::default()).unwrap().settings.reviews;
    assert!(reviews("").is_none());
    let default = reviews("auth: {kubernetes: {enabled: true}}").unwrap();
    let seconds = Duration::from_secs;
    assert_eq!((default.audience, default.cache_ttl, default.deadline), (None, seconds(60), seconds(5)));
    let file = "server: {timeouts: {request: 4s}}\n\
                auth: {kubernetes: {enabled: true, audience: seawall, cacheTtl: 5m}}";
    let set = reviews(file).unwrap();
    assert_eq!(
        (set.audience.as_deref(), set.cache_ttl, set.deadline),
        (Some("seawall"), seconds(300), seconds(2))
    );
}

#[test]
fn what_makes_no_sense_about_reviews_is_said() {
    let refused = |file: &str| load(file, &[], Flags::default()).unwrap_err();
    let zero = refused("auth: {kubernetes: {enabled: true, cacheTtl: 0s}}");
    assert!(zero.contains("auth.kubernetes.cacheTtl: must be longer than zero"), "{zero}");
    let empty = refused("auth: {kubernetes: {enabled: true, audience: ' '}}");
    assert!(empty.contains("auth.kubernetes.audience: a name is expected"), "{empty}");
    let unused = load("auth: {kubernetes: {audience: seawall}}", &[], Flags::default()).unwrap();
    assert!(unused.warnings[0].contains("auth.kubernetes: is not used"), "{:?}", unused.warnings);
}
