//! What a certificate says.

use std::net::IpAddr;
use std::sync::Arc;

use seawall_model::Timestamp;
use x509_cert::certificate::{CertificateInner, Raw, TbsCertificateInner};
use x509_cert::der::Decode;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::{DirectoryString, GeneralName};
use x509_cert::time::Time;

use crate::peer::PeerNames;

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// From when until when a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
}

impl Validity {
    pub(super) fn of(der: &[u8]) -> Result<Self, String> {
        read(der).map(|certificate| validity(certificate.tbs_certificate()))
    }
}

/// Somebody whose certificate was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Client {
    pub(crate) names: PeerNames,
    /// After this the certificate says nothing any more.
    pub(crate) not_after: Timestamp,
}

impl Client {
    pub(crate) fn of(der: &[u8]) -> Result<Self, String> {
        let certificate = read(der)?;
        let certificate = certificate.tbs_certificate();
        let mut names = alternative_names(certificate)?;
        for name in common_names(certificate) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Ok(Self { names: PeerNames(Arc::from(names)), not_after: validity(certificate).not_after })
    }
}

/// The profile is the lenient one: whether a certificate is good was decided by whoever verified it.
fn read(der: &[u8]) -> Result<CertificateInner<Raw>, String> {
    CertificateInner::from_der(der).map_err(|error| error.to_string())
}

fn validity(certificate: &TbsCertificateInner<Raw>) -> Validity {
    let validity = certificate.validity();
    Validity { not_before: timestamp(validity.not_before), not_after: timestamp(validity.not_after) }
}

fn timestamp(time: Time) -> Timestamp {
    let millis = time.to_unix_duration().as_millis();
    Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}

fn alternative_names(certificate: &TbsCertificateInner<Raw>) -> Result<Vec<String>, String> {
    let extension = certificate.get_extension::<SubjectAltName>().map_err(|error| error.to_string())?;
    let names = extension.map(|(_, names)| names.0).unwrap_or_default();
    Ok(names.iter().filter_map(text).collect())
}

/// Names that are written as text; the others (directories, identifiers) name nobody here.
fn text(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name)
        | GeneralName::Rfc822Name(name)
        | GeneralName::UniformResourceIdentifier(name) => Some(name.to_string()),
        GeneralName::IpAddress(address) => match address.as_bytes().len() {
            4 => <[u8; 4]>::try_from(address.as_bytes()).ok().map(|octets| IpAddr::from(octets).to_string()),
            _ => <[u8; 16]>::try_from(address.as_bytes()).ok().map(|octets| IpAddr::from(octets).to_string()),
        },
        _ => None,
    }
}

fn common_names(certificate: &TbsCertificateInner<Raw>) -> impl Iterator<Item = String> {
    let attributes = certificate.subject().iter().filter(|attribute| attribute.oid == COMMON_NAME);
    attributes.filter_map(|attribute| {
        let text: DirectoryString = attribute.value.decode_as().ok()?;
        Some(text.value().into_owned())
    })
}

#[cfg(test)]
mod tests {
    use seawall_testkit::{Authority, Leaf};
    use tokio_rustls::rustls::pki_types::CertificateDer;
    use tokio_rustls::rustls::pki_types::pem::PemObject;

    use super::*;

    fn client(leaf: Leaf) -> Client {
        let folder = tempfile::tempdir().unwrap();
        let files = Authority::new(folder.path()).issue("client", leaf);
        Client::of(&CertificateDer::from_pem_file(files.cert).unwrap()).unwrap()
    }

    #[test]
    fn a_certificate_names_its_owner_by_alternative_names_and_common_name_each_once() {
        let names =
            ["prometheus-0.monitoring", "spiffe://cluster/ns/monitoring", "oncall@example.com", "prometheus"];
        let end = Timestamp::parse("2051-02-03T04:05:06Z").unwrap();
        let known = client(Leaf::client("prometheus").alternative(&names).until(end));
        assert_eq!(*known.names.0, names);
        assert_eq!(known.not_after, end);
        assert_eq!(*client(Leaf::client("näme")).names.0, ["näme"]);
        assert_eq!(
            *client(Leaf::serving("it")).names.0,
            ["localhost", "127.0.0.1", "kubernetes.default.svc", "it"]
        );
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        for der in [&b""[..], b"\x30", b"\x30\x03\x02\x01\x01", &[0xff; 100]] {
            assert!(Client::of(der).is_err() && Validity::of(der).is_err(), "{der:?}");
        }
    }
}
