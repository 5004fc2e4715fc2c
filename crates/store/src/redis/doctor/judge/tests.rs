use super::*;

/// A server as it should be.
fn good() -> Look {
    let fields = |pairs: &[(&str, &str)]| {
        Ok(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    };
    Look {
        facts: None,
        info: fields(&[
            ("maxmemory", "1000"),
            ("maxmemory_policy", "noeviction"),
            ("used_memory", "100"),
            ("aof_enabled", "1"),
            ("aof_last_write_status", "ok"),
            ("rdb_last_bgsave_status", "ok"),
            ("connected_slaves", "1"),
            ("min_slaves_good_slaves", "1"),
        ]),
        config: fields(&[("appendfsync", "everysec"), ("save", ""), ("min-replicas-to-write", "1")]),
        user: Some("seawall".to_owned()),
        script: Ok(()),
        publish: Ok(()),
        subscribe: Ok(()),
        waitaof: None,
        cluster: None,
        clock_ahead: Some(3),
        round_trip: Duration::from_millis(1),
    }
}

fn set(fields: &mut Fields, name: &str, value: &str) {
    fields.as_mut().unwrap().insert(name.to_owned(), value.to_owned());
}

fn options_with(durability: RedisDurability) -> RedisOptions {
    RedisOptions { durability, ..RedisOptions::standalone("redis://host") }
}

/// The findings that are worse than `good`, for a change to it.
fn found(durability: RedisDurability, change: impl FnOnce(&mut Look)) -> Vec<(Level, String)> {
    let options = options_with(durability);
    let mut look = good();
    change(&mut look);
    let fine = server(&good(), &options);
    let findings = server(&look, &options).into_iter().filter(|finding| !fine.contains(finding));
    findings.map(|finding| (finding.level, finding.what)).collect()
}

fn one(durability: RedisDurability, level: Level, word: &str, change: impl FnOnce(&mut Look)) {
    let found = found(durability, change);
    assert!(
        matches!(found.as_slice(), [(is, what)] if *is == level && what.contains(word)),
        "{level:?} {word}: {found:?}"
    );
}

const MEMORY: RedisDurability = RedisDurability::Memory;
const WAIT: RedisDurability = RedisDurability::Wait { replicas: 1, timeout: Duration::from_secs(1) };
const AOF: RedisDurability = RedisDurability::Aof { timeout: Duration::from_secs(1) };

#[test]
fn a_good_server_gets_nothing_worse_than_fine_but_for_what_was_not_asked() {
    let findings = server(&good(), &options_with(MEMORY));
    let bad: Vec<_> = findings.iter().filter(|finding| finding.level != Level::Fine).collect();
    assert_eq!(bad.len(), 1, "the version is not known: {bad:?}");
    assert!(findings.iter().all(|finding| (finding.level == Level::Fine) == finding.advice.is_none()));
}

#[test]
fn throwing_state_away_is_unsafe_and_no_limit_worth_a_word() {
    one(MEMORY, Level::Unsafe, "volatile-lru", |look| {
        set(&mut look.info, "maxmemory_policy", "volatile-lru")
    });
    one(MEMORY, Level::Warning, "maxmemory is 0", |look| set(&mut look.info, "maxmemory", "0"));
    one(MEMORY, Level::Warning, "850 of 1000", |look| set(&mut look.info, "used_memory", "850"));
}

#[test]
fn what_a_restart_loses_depends_on_the_disk() {
    let no_aof = |look: &mut Look| set(&mut look.info, "aof_enabled", "0");
    one(MEMORY, Level::Unsafe, "every acknowledged alert", no_aof);
    one(MEMORY, Level::Unsafe, "last snapshot", |look| {
        no_aof(look);
        set(&mut look.config, "save", "3600 1");
    });
    one(MEMORY, Level::Unsafe, "half a minute", |look| set(&mut look.config, "appendfsync", "no"));
    one(MEMORY, Level::Fine, "every write", |look| set(&mut look.config, "appendfsync", "always"));
    one(WAIT, Level::Warning, "all restart at once", no_aof);
    one(AOF, Level::Failed, "append-only file", no_aof);
    one(MEMORY, Level::Failed, "cannot write", |look| set(&mut look.info, "aof_last_write_status", "err"));
}

#[test]
fn waiting_for_the_disk_needs_a_server_that_can_and_is_quick() {
    one(AOF, Level::Failed, "WAITAOF", |look| look.waitaof = Some(false));
    one(AOF, Level::Fine, "on the server's disk", |look| set(&mut look.config, "appendfsync", "always"));
    let everysec = |seconds| disk(true, Some("everysec"), Some(true), Duration::from_secs(seconds)).level;
    assert_eq!((everysec(1), everysec(3)), (Level::Failed, Level::Warning));
}

#[test]
fn replicas_that_have_to_confirm_must_be_there() {
    one(WAIT, Level::Failed, "0 replicas are connected, and 1", |look| {
        set(&mut look.info, "connected_slaves", "0");
    });
    one(WAIT, Level::Warning, "min-replicas-to-write", |look| {
        look.info.as_mut().unwrap().remove("min_slaves_good_slaves");
    });
}

#[test]
fn what_may_not_be_looked_at_is_said() {
    one(MEMORY, Level::Warning, "could not be looked at: NOPERM", |look| {
        look.config = Err("NOPERM no".to_owned());
    });
    let found = found(MEMORY, |look| look.info = Err("NOPERM no".to_owned()));
    assert!(
        found.iter().any(|(level, what)| *level == Level::Warning && what.contains("NOPERM")),
        "{found:?}"
    );
}

#[test]
fn a_user_who_may_not_do_the_work_is_a_failure() {
    one(MEMORY, Level::Failed, "seawall cannot run scripts", |look| look.script = Err("NOPERM".to_owned()));
    one(MEMORY, Level::Failed, "send messages", |look| look.publish = Err("NOPERM".to_owned()));
    one(MEMORY, Level::Failed, "hear messages", |look| look.subscribe = Err("NOPERM".to_owned()));
}

#[test]
fn clocks_and_slow_answers_are_warned_of() {
    one(MEMORY, Level::Warning, "2.5 s ahead of", |look| look.clock_ahead = Some(2500));
    one(MEMORY, Level::Warning, "2.5 s behind", |look| look.clock_ahead = Some(-2500));
    one(MEMORY, Level::Warning, "300ms", |look| look.round_trip = Duration::from_millis(300));
}

#[test]
fn a_cluster_with_holes_is_a_failure() {
    let cluster = |pairs: &[(&str, &str)]| {
        let fields = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        super::cluster(&Ok(fields)).into_iter().map(|finding| finding.level).collect::<Vec<_>>()
    };
    assert_eq!(cluster(&[("cluster_state", "ok"), ("cluster_slots_ok", "16384")]), [Level::Fine]);
    assert_eq!(cluster(&[("cluster_state", "ok"), ("cluster_slots_ok", "16000")]), [Level::Failed]);
    assert_eq!(
        cluster(&[("cluster_state", "fail"), ("cluster_slots_ok", "16000")]),
        [Level::Failed, Level::Failed]
    );
    assert_eq!(super::cluster(&Err("NOPERM".to_owned())).first().unwrap().level, Level::Warning);
}

#[test]
fn a_password_in_the_clear_is_warned_of() {
    let mut with_password = options_with(MEMORY);
    with_password.credentials.password_file = Some("/run/secret".into());
    assert_eq!(options(&with_password).first().unwrap().level, Level::Warning);
    with_password.urls = vec!["rediss://host".to_owned()];
    assert_eq!(options(&with_password), []);
}
