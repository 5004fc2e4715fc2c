//! Certificates that change while the server runs.

use std::path::{Path, PathBuf};

use seawall_testkit::{Authority, Client, Leaf, Raw, eventually};

use crate::reload::{SOON, Served};

/// A folder as a cluster mounts a Secret: the files are links into `..data`, which is a link that is swapped.
struct Mount(PathBuf);

impl Mount {
    fn new(folder: &Path) -> Self {
        std::fs::create_dir(folder).unwrap();
        for file in ["tls.crt", "tls.key"] {
            std::os::unix::fs::symlink(format!("..data/{file}"), folder.join(file)).unwrap();
        }
        Self(folder.to_owned())
    }

    /// Shows the certificate of one and the key of another.
    fn show(&self, version: &str, cert: &Path, key: &Path) {
        let folder = self.0.join(version);
        std::fs::create_dir(&folder).unwrap();
        std::fs::copy(cert, folder.join("tls.crt")).unwrap();
        std::fs::copy(key, folder.join("tls.key")).unwrap();
        let next = self.0.join("..data_tmp");
        std::os::unix::fs::symlink(version, &next).unwrap();
        std::fs::rename(&next, self.0.join("..data")).unwrap();
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_noticed_where_it_is_mounted_and_a_bad_one_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new(&directory.path().join("pki"));
    let [one, two, three] = ["one", "two", "three"].map(|name| authority.issue(name, Leaf::serving(name)));
    let mount = Mount::new(&directory.path().join("mounted"));
    mount.show("..1", &one.cert, &one.key);
    let at = mount.0.display();
    let tls = authority.trusted(None);
    let yaml = format!("server: {{tls: {{cert: '{at}/tls.crt', key: '{at}/tls.key'}}}}\n");
    let served = Served::with_client(&yaml, |address| Client::secure(address, &tls)).await;
    let shown =
        async || Raw::connect(served.client.address()).await.secure(&tls).await.unwrap().certificate();
    let first = shown().await;

    // A mistake in the configuration keeps no certificate from being renewed.
    served.write(&(yaml.clone() + "dedup: {tll: 5m}\n"));
    served.until_reloads("failure", 1.0).await;
    mount.show("..2", &two.cert, &two.key);
    let second = eventually(SOON, || async {
        let now = shown().await;
        if now == first { Err("the old certificate is served") } else { Ok(now) }
    })
    .await;

    mount.show("..3", &three.cert, &two.key);
    served.until_reloads("failure", 2.0).await;
    assert_eq!(shown().await, second, "the last good one is served");
    // And no bad certificate keeps the configuration from being changed.
    served.write(&(yaml + "dedup: {ttl: 6m}\n"));
    served.until_reloads("success", 2.0).await;

    mount.show("..4", &three.cert, &three.key);
    served.until_reloads("success", 3.0).await;
    assert_ne!(shown().await, second);
    assert_eq!(served.reloads("failure").await, 2.0, "it was tried again and again, and counted once");
    served.end().await;
}
