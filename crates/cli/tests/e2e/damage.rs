//! What is on disk after a crash, and after worse.

use std::fs;
use std::path::{Path, PathBuf};

use seawall_testkit::{Alert, Client, Random, Refusal, Scene, Seawall};

use crate::support::{SOON, fire, name_of, occurrences, scene};

#[tokio::test]
async fn a_second_process_on_the_same_data_is_refused_and_told_who_holds_it() {
    let scene = scene().await;
    let seawall = scene.seawall("seawall").start().await;
    let pid = seawall.process().pid();

    let mut second = scene.seawall("second").data_dir(seawall.data_dir()).spawn();
    let status = second.exited(SOON).await;
    assert_eq!(status.code(), Some(1), "{}", second.output());
    assert!(second.output().contains(&format!("process {pid}")), "{}", second.output());
    assert_eq!(fire(&seawall.client(), &Alert::new("DiskFull", "prod", "db-0")).await.status, 201);
}

/// Two moments in the life of one data directory, one acknowledged alert apart.
struct Moments {
    before: PathBuf,
    after: PathBuf,
}

impl Moments {
    async fn of(scene: &Scene) -> Self {
        let seawall = scene.seawall("seawall").start().await;
        let client = seawall.client();
        for number in 0..20 {
            fire(&client, &problem(number)).await;
        }
        let before = photograph(scene, &seawall, "before");
        fire(&client, &problem(20)).await;
        let after = photograph(scene, &seawall, "after");
        Self { before, after }
    }

    /// The file to which the last alert was appended, relative to the directory, and where its bytes lie.
    fn last_record(&self) -> (PathBuf, std::ops::Range<usize>) {
        let mut longest = None;
        for path in files(&self.after) {
            let (old, new) = (
                fs::read(self.before.join(&path)).unwrap_or_default(),
                fs::read(self.after.join(&path)).unwrap(),
            );
            let differs = |at: &usize| old.get(*at) != new.get(*at);
            let Some(first) = (0..new.len()).find(differs) else { continue };
            let last = (first..new.len()).rfind(differs).unwrap_or(first);
            if longest
                .as_ref()
                .is_none_or(|(_, range): &(_, std::ops::Range<usize>)| range.len() < last + 1 - first)
            {
                longest = Some((path, first..last + 1));
            }
        }
        longest.expect("an acknowledged alert leaves something on disk")
    }
}

/// A copy of the directory of a process that stands still meanwhile.
fn photograph(scene: &Scene, seawall: &Seawall, name: &str) -> PathBuf {
    seawall.process().signal("STOP");
    let copy = scene.path().join(name);
    copy_directory(seawall.data_dir(), &copy);
    seawall.process().signal("CONT");
    copy
}

#[tokio::test]
async fn a_record_that_was_torn_while_it_was_written_is_as_if_it_had_not_begun() {
    let scene = scene().await;
    let moments = Moments::of(&scene).await;
    let (file, record) = moments.last_record();
    let record_bytes =
        fs::read(moments.after.join(&file)).expect("the file can be read")[record.clone()].to_vec();
    assert!(record_bytes.len() > 8, "{record:?} of {}", file.display());
    for (at, part) in
        [record_bytes.len() / 4, record_bytes.len() / 2, record_bytes.len() - 1].into_iter().enumerate()
    {
        let torn = scene.path().join(format!("torn-{at}"));
        copy_directory(&moments.before, &torn);
        let mut bytes = fs::read(torn.join(&file)).expect("the file can be read");
        bytes.resize(bytes.len().max(record.start + part), 0);
        bytes[record.start..record.start + part].copy_from_slice(&record_bytes[..part]);
        fs::write(torn.join(&file), bytes).expect("the file can be written");

        let seawall = scene.seawall(&format!("torn-{at}")).data_dir(&torn).start().await;
        let client = seawall.client();
        assert_eq!(contents(&client).await.len(), 20);
        assert_eq!(fire(&client, &problem(20)).await.status, 201, "it goes on where the torn record began");
    }
}

#[tokio::test]
async fn a_lost_record_that_was_acknowledged_is_refused_with_what_is_missing_and_what_to_do() {
    let scene = scene().await;
    let moments = Moments::of(&scene).await;
    let (file, _) = moments.last_record();
    // The log of the moment before, in a directory that remembers what it has acknowledged since.
    fs::copy(moments.before.join(&file), moments.after.join(&file)).expect("the file can be replaced");
    let refusal = scene.seawall("shorter").data_dir(&moments.after).try_start().await;
    let Refusal { code, said } = refusal.expect_err("it must not start shorter");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&moments.after.display().to_string()), "{said}");
    assert!(said.contains("damaged") && said.contains("backup"), "{said}");
}

#[tokio::test]
async fn whatever_is_damaged_it_never_starts_with_less_than_it_acknowledged() {
    let scene = scene().await;
    let mut random = Random::new();
    println!("seed {}", random.seed());
    let mut seawall = scene.seawall("seawall").start().await;
    let client = seawall.client();
    for number in 0..30 {
        fire(&client, &problem(number % 25)).await;
    }
    let expected = contents(&client).await;
    seawall.kill9();
    let whole = seawall.data_dir().to_owned();

    let removals = files(&whole).into_iter().map(|file| Damage { file, kind: Kind::Removed });
    let mut damages: Vec<_> = removals.collect();
    damages.extend((0..RANDOM_DAMAGES).map(|_| Damage::at_random(&whole, &mut random)));
    let (count, mut refused) = (damages.len(), 0);
    for (attempt, damage) in damages.into_iter().enumerate() {
        let copy = scene.path().join(format!("damaged-{attempt}"));
        copy_directory(&whole, &copy);
        damage.apply(&copy);
        match scene.seawall(&format!("damaged-{attempt}")).data_dir(&copy).try_start().await {
            Ok(seawall) => assert_eq!(contents(&seawall.client()).await, expected, "{damage:?}"),
            Err(Refusal { code, said }) => {
                refused += 1;
                assert_eq!(code, Some(1), "{damage:?}: {said}");
                assert!(said.contains(&copy.display().to_string()), "{damage:?}: {said}");
            }
        }
        fs::remove_dir_all(&copy).expect("the copy can be removed");
    }
    println!("{refused} of {count} refused");
}

/// Beside the removal of every file.
const RANDOM_DAMAGES: usize = 30;

/// What happens to one file of a data directory.
#[derive(Debug)]
struct Damage {
    file: PathBuf,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Removed,
    CutAt(usize),
    BitChanged { byte: usize, bit: u64 },
}

impl Damage {
    fn at_random(directory: &Path, random: &mut Random) -> Self {
        let written = |file: &PathBuf| fs::read(directory.join(file)).is_ok_and(|bytes| !bytes.is_empty());
        let candidates: Vec<_> = files(directory).into_iter().filter(written).collect();
        let file = candidates[random.between(0..candidates.len() as u64) as usize].clone();
        let bytes = fs::read(directory.join(&file)).expect("the file can be read");
        // Most of a log that was made long in advance is zeros; damage is meant to hit something.
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0) + 1;
        let byte = random.between(0..used as u64) as usize;
        let kind = match random.between(0..4) {
            0 => Kind::CutAt(byte),
            _ => Kind::BitChanged { byte, bit: random.between(0..8) },
        };
        Self { file, kind }
    }

    fn apply(&self, directory: &Path) {
        let path = directory.join(&self.file);
        let mut bytes = fs::read(&path).expect("the file can be read");
        match self.kind {
            Kind::Removed => return fs::remove_file(&path).expect("the file can be removed"),
            Kind::CutAt(byte) => bytes.truncate(byte),
            Kind::BitChanged { byte, bit } => bytes[byte] ^= 1 << bit,
        }
        fs::write(&path, bytes).expect("the file can be written");
    }
}

fn problem(number: u32) -> Alert {
    Alert::new(&format!("Problem{number}"), &format!("tenant-{number}"), "web-0")
}

/// Names and counts of all requests.
async fn contents(client: &Client) -> Vec<(String, u64)> {
    let mut contents: Vec<_> = client
        .requests("")
        .await
        .iter()
        .map(|request| (name_of(request).to_owned(), occurrences(request)))
        .collect();
    contents.sort_unstable();
    contents
}

/// Paths of all files in a directory, relative to it.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the directory can be read") {
            let path = entry.expect("the directory can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(directory).expect("a file of the directory").to_owned());
            }
        }
    }
    found.sort_unstable();
    found
}

fn copy_directory(from: &Path, to: &Path) {
    for file in files(from) {
        let target = to.join(&file);
        fs::create_dir_all(target.parent().expect("a file lies in a directory"))
            .expect("a directory can be made");
        fs::copy(from.join(&file), target).expect("a file can be copied");
    }
}
