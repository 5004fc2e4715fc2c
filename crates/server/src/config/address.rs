//! One `redis://` address, taken apart to be checked.

use super::secrets::without_secrets;

/// What an address says. The parts are as they were written.
#[derive(PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(crate) struct Address<'a> {
    pub tls: bool,
    /// Empty when there is none.
    pub user: &'a str,
    /// Empty when there is none. Never shown.
    pub password: &'a str,
    pub host: &'a str,
    pub port: Option<u16>,
    pub database: Option<u32>,
}

impl<'a> Address<'a> {
    /// Reads `redis://[user:password@]host[:port][/database]`; says what is wrong in a sentence.
    pub fn parse(text: &'a str) -> Result<Self, String> {
        let wrong = |what: &str| format!("`{}` {what}", without_secrets(text));
        let (tls, rest) = match (text.strip_prefix("redis://"), text.strip_prefix("rediss://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => {
                return Err(wrong(
                    "is not an address of Redis or Valkey; write for example `redis://redis:6379`, or with TLS \
                     `rediss://redis:6379`",
                ));
            }
        };
        if rest.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(wrong("contains a space or something invisible"));
        }
        let (authority, after) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if after.contains('@') {
            return Err(wrong(
                "has a `/`, `?` or `#` in its user or password; write them `%2F`, `%3F` and `%23`, or better use \
                 `passwordFile`",
            ));
        }
        let (login, place) = match authority.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, authority),
        };
        let (user, password) =
            login.map(|login| login.split_once(':').unwrap_or((login, ""))).unwrap_or_default();
        let (host, port) = host_and_port(place).map_err(wrong)?;
        let database = match after.strip_prefix('/').unwrap_or(after) {
            "" => None,
            number => match number.parse() {
                Ok(number) => Some(number),
                Err(_) => return Err(wrong("ends with something else than the number of a database")),
            },
        };
        Ok(Self { tls, user, password, host, port, database })
    }
}

/// `host`, `host:port` or `[IPv6]:port`.
fn host_and_port(place: &str) -> Result<(&str, Option<u16>), &'static str> {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or("has a `[` without a `]`")?;
            let port = after.strip_prefix(':');
            if port.is_none() && !after.is_empty() {
                return Err("has something between `]` and the port");
            }
            (host, port)
        }
        None => match place.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err(
                    "has more than one `:`; an IPv6 address is written in brackets, for example `[::1]:6379`",
                );
            }
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    if host.is_empty() {
        return Err("has no host");
    }
    let port = match port {
        None => None,
        Some(digits) => match digits.parse() {
            Ok(port) if port > 0 => Some(port),
            _ => return Err("has a port that is not a number from 1 to 65535"),
        },
    };
    Ok((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        let plain = Address { tls: false, user: "", password: "", host: "redis", port: None, database: None };
        assert_eq!(Address::parse("redis://redis"), Ok(plain));
        let full = Address {
            tls: true,
            user: "app",
            password: "p%40ss:",
            host: "::1",
            port: Some(6380),
            database: Some(3),
        };
        assert_eq!(Address::parse("rediss://app:p%40ss:@[::1]:6380/3"), Ok(full));
        let only_password = Address::parse("redis://:secret@h:1/").unwrap();
        assert_eq!((only_password.user, only_password.password), ("", "secret"));
    }

    #[test]
    fn a_bad_address_says_what_is_wrong_and_never_the_password() {
        for (text, expected) in [
            (
                "http://:secret@h",
                "`http://***@h` is not an address of Redis or Valkey; write for example `redis://redis:6379`, or with TLS \
                 `rediss://redis:6379`",
            ),
            ("redis://", "`redis://` has no host"),
            ("redis://:secret@:6379", "`redis://***@:6379` has no host"),
            ("redis://h:0", "`redis://h:0` has a port that is not a number from 1 to 65535"),
            ("redis://h:", "`redis://h:` has a port that is not a number from 1 to 65535"),
            (
                "redis://::1",
                "`redis://::1` has more than one `:`; an IPv6 address is written in brackets, for example `[::1]:6379`",
            ),
            ("redis://[::1", "`redis://[::1` has a `[` without a `]`"),
            ("redis://[::1]6379", "`redis://[::1]6379` has something between `]` and the port"),
            ("redis://h/first", "`redis://h/first` ends with something else than the number of a database"),
            ("redis://h?db=1", "`redis://h?db=1` ends with something else than the number of a database"),
            (
                "rediss://h#insecure",
                "`rediss://h#insecure` ends with something else than the number of a database",
            ),
            ("redis://h h", "`redis://h h` contains a space or something invisible"),
            (
                "redis://:sec/ret@h",
                "`redis://***@h` has a `/`, `?` or `#` in its user or password; write them `%2F`, `%3F` and `%23`, or \
                 better use `passwordFile`",
            ),
        ] {
            assert_eq!(Address::parse(text), Err(expected.to_owned()));
        }
    }
}
