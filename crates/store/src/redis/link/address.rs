//! Where a server is, and how its address is shown: never with what stands in front of an `@`.

use std::fmt;

use redis::{ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo};

use crate::StoreError;

/// A host and a port. Its text is safe to show.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
}

impl Address {
    /// `host:port` as a server names another one; IPv6 hosts come without brackets there.
    pub(super) fn parse(text: &str) -> Option<Self> {
        // A port of the cluster bus or a host name may follow: `10.0.0.1:6379@16379,name`.
        let text = text.split(['@', ',']).next()?;
        let (host, port) = text.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Some(Self { host: host.to_owned(), port: port.parse().ok()? })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// What one configured URL says.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(super) address: Address,
    pub(super) tls: bool,
    /// Database, user and password of the URL. Its `Debug` hides the password.
    pub(super) login: RedisConnectionInfo,
}

impl Server {
    pub(super) fn parse_all(urls: &[String]) -> Result<Vec<Self>, StoreError> {
        let servers: Result<Vec<Self>, String> = urls.iter().map(|url| Self::parse(url)).collect();
        servers.map_err(|reason| StoreError::Refused { reason })
    }

    /// # Errors
    /// What is wrong with the URL, for people.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("the address {} {what}", shown(text));
        let usage = "is not one of a Redis server; write redis://host:port, or rediss://host:port for TLS";
        let mut url = redis::parse_redis_url(text).ok_or_else(|| wrong(usage))?;
        let tls = matches!(url.scheme(), "rediss" | "valkeys");
        if url.fragment().is_some() {
            return Err(wrong("has a part after `#`; name the certificates to trust with `tlsCA` instead"));
        }
        if tls {
            // The client library is built without TLS, which is done by `dial`, and would not take the scheme.
            url.set_scheme("redis").map_err(|()| wrong(usage))?;
        }
        let info = url.into_connection_info().map_err(|error| match error.detail() {
            Some(detail) => wrong(&format!("cannot be used: {} ({detail})", error.category())),
            None => wrong("cannot be used: host, port or database are wrong"),
        })?;
        let ConnectionAddr::Tcp(host, port) = info.addr() else {
            return Err(wrong(usage));
        };
        let address = Address { host: host.clone(), port: *port };
        Ok(Self { address, tls, login: info.redis_settings().clone() })
    }
}

/// A URL without user, password and query, whether it can be parsed or not.
pub(crate) fn shown(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    // A password with an unescaped `/`, `?` or `#` in it is wrong but must not be shown either.
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    if scheme.is_empty() { rest.to_owned() } else { format!("{scheme}://{rest}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_user_and_password() {
        assert_eq!(shown("redis://me:se@cr/et@host:6379/1?password=x"), "redis://host:6379/1");
        assert_eq!(shown("rediss://host"), "rediss://host");
        assert_eq!(shown("me:secret@host"), "host");
        let wrong = Server::parse("http://me:secret@host:1").unwrap_err();
        assert!(wrong.contains("http://host:1") && !wrong.contains("secret"), "{wrong}");
    }

    #[test]
    fn a_url_says_host_port_database_tls_and_login() {
        let server = Server::parse("rediss://me:p%40ss@db.example:7000/3").unwrap();
        assert_eq!(server.address.to_string(), "db.example:7000");
        assert!(server.tls);
        assert_eq!(server.login.db(), 3);
        assert_eq!((server.login.username(), server.login.password()), (Some("me"), Some("p@ss")));
        let plain = Server::parse("valkey://[::1]").unwrap();
        assert_eq!((plain.address.to_string().as_str(), plain.tls), ("[::1]:6379", false));
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_what_to_write() {
        for url in ["", "host:6379", "http://host", "redis://", "rediss://host#insecure", "unix:///socket"] {
            assert!(Server::parse(url).is_err(), "{url}");
        }
        assert!(Server::parse("redis://host/x").unwrap_err().contains("redis://host/x"));
    }

    #[test]
    fn servers_name_each_other_with_and_without_brackets() {
        assert_eq!(Address::parse("10.0.0.1:7000@17000,name").unwrap().to_string(), "10.0.0.1:7000");
        assert_eq!(Address::parse("fe80::1:7000").unwrap().host, "fe80::1");
        assert_eq!(Address::parse("[fe80::1]:7000").unwrap().host, "fe80::1");
        assert_eq!(Address::parse("nothing"), None);
    }
}
