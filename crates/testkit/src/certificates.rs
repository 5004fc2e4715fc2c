//! Authorities, and the keys and certificates that they give out.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
    date_time_ymd,
};
use seawall_model::Timestamp;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Says who is who: its certificate is in `ca.crt` of its folder.
#[derive(Debug)]
pub struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, in PEM.
#[derive(Clone, Debug)]
pub struct KeyPairFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// What a certificate shall say.
pub struct Leaf(CertificateParams);

impl Leaf {
    /// Of a server on loopback.
    pub fn serving(name: &str) -> Self {
        let names = ["localhost", "127.0.0.1", "kubernetes.default.svc"].map(str::to_owned);
        Self::new(name, &names, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// Of somebody with this common name.
    pub fn client(name: &str) -> Self {
        Self::new(name, &[], ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn new(name: &str, alternative: &[String], usage: ExtendedKeyUsagePurpose) -> Self {
        let mut params = named(name, alternative);
        params.extended_key_usages.push(usage);
        Self(params)
    }

    /// Of somebody who is in this group.
    pub fn group(mut self, group: &str) -> Self {
        self.0.distinguished_name.push(DnType::OrganizationName, group);
        self
    }

    /// With these further names: with an `@` an address, with `://` a URI, else of a host.
    pub fn alternative(mut self, names: &[&str]) -> Self {
        for name in names {
            let text = (*name).try_into().expect("a name in ASCII");
            self.0.subject_alt_names.push(match *name {
                name if name.contains('@') => SanType::Rfc822Name(text),
                name if name.contains("://") => SanType::URI(text),
                _ => SanType::DnsName(text),
            });
        }
        self
    }

    /// Valid from 1975 until then.
    pub fn until(mut self, end: Timestamp) -> Self {
        let seconds = u64::try_from(end.as_seconds()).expect("an end after 1970");
        self.0.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds);
        self
    }

    /// Valid from then on.
    pub fn from(mut self, begin: Timestamp) -> Self {
        let seconds = u64::try_from(begin.as_seconds()).expect("a beginning after 1970");
        self.0.not_before = date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds);
        self
    }
}

impl Authority {
    pub fn new(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).expect("a directory in the temporary directory can be made");
        let mut params = named("seawall-test", &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = key();
        let certificate = params.self_signed(&key).expect("an authority can sign itself");
        write(&folder.join("ca.crt"), &certificate.pem());
        Self { folder: folder.to_owned(), issuer: Issuer::new(params, key) }
    }

    pub fn cert(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }

    /// `<file>.key` and `<file>.pub`, which signs tokens.
    pub fn signing_key(&self, file: &str) {
        let key = key();
        write(&self.folder.join(format!("{file}.key")), &key.serialize_pem());
        write(&self.folder.join(format!("{file}.pub")), &key.public_key_pem());
    }

    /// `<file>.crt` and `<file>.key`, instead of those that may be there.
    pub fn issue(&self, file: &str, leaf: Leaf) -> KeyPairFiles {
        let key = key();
        let certificate = leaf.0.signed_by(&key, &self.issuer).expect("the authority can sign");
        let files = KeyPairFiles {
            cert: self.folder.join(format!("{file}.crt")),
            key: self.folder.join(format!("{file}.key")),
        };
        write(&files.cert, &certificate.pem());
        write(&files.key, &key.serialize_pem());
        files
    }

    /// What a client speaks TLS with that trusts this authority alone, as `identity` when it shall have one.
    pub fn trusted(&self, identity: Option<&KeyPairFiles>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_file(self.cert()).expect("a certificate");
        roots.add(authority).expect("an authority");
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions of TLS")
            .with_root_certificates(roots);
        Arc::new(match identity {
            None => config.with_no_client_auth(),
            Some(KeyPairFiles { cert, key }) => {
                let chain = vec![CertificateDer::from_pem_file(cert).expect("a certificate")];
                let key = PrivateKeyDer::from_pem_file(key).expect("a key");
                config.with_client_auth_cert(chain, key).expect("a certificate and its key")
            }
        })
    }
}

fn named(name: &str, alternative: &[String]) -> CertificateParams {
    let mut params = CertificateParams::new(alternative).expect("names that a certificate can have");
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key can be made")
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("a file in the temporary directory can be written");
}
