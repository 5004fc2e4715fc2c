//! The keys and certificates of one control plane.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

/// Says who is who: its certificate is in `ca.crt` of its folder.
pub(super) struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(super) fn new(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).expect("a directory in the temporary directory can be made");
        let mut params = named("seawall-test", &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = key();
        let certificate = params.self_signed(&key).expect("an authority can sign itself");
        write(&folder.join("ca.crt"), &certificate.pem());
        Self { folder: folder.to_owned(), issuer: Issuer::new(params, key) }
    }

    /// `<file>.crt` and `<file>.key` of the server on loopback.
    pub(super) fn serving(&self, file: &str) {
        let names = ["localhost", "127.0.0.1", "kubernetes.default.svc"].map(str::to_owned);
        self.issue(file, named(file, &names), ExtendedKeyUsagePurpose::ServerAuth);
    }

    /// `<file>.crt` and `<file>.key` of a user who is in `group`.
    pub(super) fn client(&self, file: &str, group: &str) {
        let mut params = named(file, &[]);
        params.distinguished_name.push(DnType::OrganizationName, group);
        self.issue(file, params, ExtendedKeyUsagePurpose::ClientAuth);
    }

    /// `<file>.key` and `<file>.pub`, which signs tokens.
    pub(super) fn signing_key(&self, file: &str) {
        let key = key();
        write(&self.folder.join(format!("{file}.key")), &key.serialize_pem());
        write(&self.folder.join(format!("{file}.pub")), &key.public_key_pem());
    }

    fn issue(&self, file: &str, mut params: CertificateParams, usage: ExtendedKeyUsagePurpose) {
        params.extended_key_usages.push(usage);
        let key = key();
        let certificate = params.signed_by(&key, &self.issuer).expect("the authority can sign");
        write(&self.folder.join(format!("{file}.crt")), &certificate.pem());
        write(&self.folder.join(format!("{file}.key")), &key.serialize_pem());
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
