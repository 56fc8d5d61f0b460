//! What durability costs, beside a bare redb commit and a bare fdatasync in the same run
//! (`cargo bench --bench vault`). Real operations and their floor take turns, since these
//! machines are noisy: only what is compared within a run says anything.

// A benchmark talks to stdout, and what breaks it should break loudly.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]
#![allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    missing_docs
)]

mod host;

use std::{
    fs::{self, File},
    io::Write as _,
    path::PathBuf,
    time::{Duration, Instant},
};

use host::{CBOR, Host, get_assertion, make_passkey};
use redb::{Database, TableDefinition};
use roamkey::{
    profile::Profile,
    vault::{
        KeyNumber, KeyVault as _, LockedVault, OpenVault, StoredProfile, Vault, VaultThread,
        unlock::Unlock,
    },
};
use roamkey_ctap::{Change, ChangeSet, Credential, CredentialId, Place, Record};

const CREATED: u64 = 1_735_689_600;
const MANY: u32 = 100_000;

/// A directory on the disk of the build, not in memory.
fn directory() -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("bench-vault");
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

fn us(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

fn median(samples: &mut [Duration]) -> Duration {
    samples.sort_unstable();
    samples[samples.len() / 2]
}

fn line(what: &str, figures: &str, aim: &str) {
    println!("{what:34} {figures:52} aim: {aim}");
}

struct Files {
    path: PathBuf,
    state: PathBuf,
}

impl Files {
    fn new(directory: &std::path::Path, name: &str) -> Self {
        Self {
            path: directory.join(name),
            state: directory.join("state"),
        }
    }

    fn key_file(&self) -> Unlock {
        Unlock::KeyFile(format!("{}.key", self.path.display()).into())
    }

    fn create(&self, keys: u32) -> OpenVault {
        let vault = OpenVault::create_in(&self.path, &self.state, &self.key_file(), CREATED);
        let mut vault = vault.unwrap();
        for number in 1..=keys {
            let profile = StoredProfile {
                name: "default".to_owned(),
                text: None,
            };
            let name = format!("key {number}");
            vault
                .store_mut()
                .add_key(&name, profile, CREATED, &Default::default())
                .unwrap();
        }
        vault
    }

    fn open(&self) -> OpenVault {
        let locked = LockedVault::open_in(&self.path, &self.state).unwrap();
        locked.unlock(&self.key_file()).unwrap()
    }

    fn length(&self) -> u64 {
        fs::metadata(&self.path).unwrap().len()
    }
}

/// One record in a redb file, and one write and fdatasync, with nothing around them.
struct Floor {
    db: Database,
    file: File,
    next: u64,
}

const BARE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("bare");

impl Floor {
    fn new(directory: &std::path::Path) -> Self {
        Self {
            db: Database::create(directory.join("bare.redb")).unwrap(),
            file: File::create(directory.join("bare")).unwrap(),
            next: 0,
        }
    }

    fn commit(&mut self) {
        self.next += 1;
        let write = self.db.begin_write().unwrap();
        write
            .open_table(BARE)
            .unwrap()
            .insert(self.next, [7; 1000].as_slice())
            .unwrap();
        write.commit().unwrap();
    }

    fn sync(&mut self) {
        self.file.write_all(&[7; 1000]).unwrap();
        self.file.sync_data().unwrap();
    }
}

/// A passkey that was really made, to make others of.
async fn template(directory: &std::path::Path) -> Credential {
    let place = Files::new(directory, "template.redb");
    let (vault, thread) = place.create(1).serve().unwrap();
    let key = Box::new(vault.key(KeyNumber(1)));
    let mut host = Host::attach_to(key, &Profile::default()).await;
    let made = host.transact(CBOR, &make_passkey()).await;
    assert_eq!(made.payload[0], 0);
    drop(vault);
    drop(thread); // it ends with the process
    fs::copy(&place.path, directory.join("copy.redb")).unwrap();
    let locked = LockedVault::open_in(&directory.join("copy.redb"), &directory.join("other"));
    let copy = locked.unwrap().unlock(&place.key_file()).unwrap();
    let records = copy.store().records(KeyNumber(1)).unwrap();
    let credential = records.into_iter().find_map(|record| match record {
        Record::Credential(credential) => Some(*credential),
        _ => None,
    });
    credential.unwrap()
}

/// Another account's passkey at another site.
fn another(template: &Credential, number: u32) -> [Change; 2] {
    let mut credential = template.clone();
    let mut id = *template.id.as_bytes();
    id[..4].copy_from_slice(&number.to_be_bytes());
    credential.id = CredentialId::from_slice(&id).unwrap();
    credential.rp_id = format!("site-{number}.example.com");
    credential.sequence = u64::from(number);
    let id = credential.id;
    [
        Change::Put(Record::Credential(Box::new(credential))),
        Change::Put(Record::CredentialCounter { id, ceiling: 256 }),
    ]
}

async fn durable_make_credential(directory: &std::path::Path) {
    let place = Files::new(directory, "make.redb");
    let (vault, _thread) = place.create(1).serve().unwrap();
    let mut host = Host::attach_to(Box::new(vault.key(KeyNumber(1))), &Profile::default()).await;
    let mut floor = Floor::new(directory);
    let (mut made, mut committed, mut synced) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..1_000 {
        let transaction = host.transact(CBOR, &make_passkey()).await;
        assert_eq!(transaction.payload[0], 0);
        made.push(transaction.elapsed);
        let start = Instant::now();
        floor.commit();
        committed.push(start.elapsed());
        let start = Instant::now();
        floor.sync();
        synced.push(start.elapsed());
    }
    let [made, committed, synced] = [&mut made, &mut committed, &mut synced].map(|s| median(s));
    let over = us(made) - us(committed);
    line(
        "durable makeCredential, p50",
        &format!(
            "{:.0} us; redb commit {:.0} us, fdatasync {:.0} us",
            us(made),
            us(committed),
            us(synced)
        ),
        &format!("commit + 500 us (it is + {over:.0} us)"),
    );
}

async fn assertions_without_sync(directory: &std::path::Path) {
    let place = Files::new(directory, "get.redb");
    let open = place.create(1);
    let activity = open.activity();
    let (vault, _thread) = open.serve().unwrap();
    let mut host = Host::attach_to(Box::new(vault.key(KeyNumber(1))), &Profile::default()).await;
    let id = host.register().await;
    let before = activity.syncs();
    let uses = 256 * 20;
    for _ in 0..uses {
        let got = host.transact(CBOR, &get_assertion(&id)).await;
        assert_eq!(got.payload[0], 0);
    }
    let syncs = activity.syncs() - before;
    line(
        "getAssertion, uses with a sync",
        &format!("{syncs} syncs in {uses} uses"),
        "1 commit in 256 uses",
    );
}

/// What a key commits: the attempt at a PIN that is lost, or a new passkey.
#[derive(Clone, Copy)]
enum Committed {
    PinRetries,
    Passkey,
}

async fn many_keys_at_once(
    directory: &std::path::Path,
    template: &Credential,
    committed: Committed,
) {
    const KEYS: u32 = 64;
    const SETS: u32 = 100;
    /// Passkeys of each key, which are made anew in turn.
    const ACCOUNTS: u32 = 8;
    let (name, what) = match committed {
        Committed::PinRetries => ("retries.redb", "PIN retries"),
        Committed::Passkey => ("together.redb", "passkeys"),
    };
    let place = Files::new(directory, name);
    let (vault, _thread) = place.create(KEYS).serve().unwrap();
    let rate = async |keys: u32, sets: u32| {
        let start = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for number in 1..=keys {
            let mut key = vault.key(KeyNumber(number));
            let template = template.clone();
            tasks.spawn(async move {
                for set in 0..sets {
                    let set = match committed {
                        Committed::PinRetries => {
                            let left = u8::try_from(set % 8).unwrap();
                            ChangeSet::from_iter([Change::Put(Record::PinRetries(left))])
                        }
                        Committed::Passkey => {
                            ChangeSet::from_iter(another(&template, set % ACCOUNTS))
                        }
                    };
                    key.commit(set).await.unwrap();
                }
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap();
        }
        f64::from(keys * sets) / start.elapsed().as_secs_f64()
    };
    let (mut one, mut all) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        one.push(rate(1, SETS * 4).await);
        all.push(rate(KEYS, SETS).await);
    }
    let middle = |rates: &mut Vec<f64>| {
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    };
    let (one, all) = (middle(&mut one), middle(&mut all));
    line(
        &format!("commits a second, {what}"),
        &format!("64 keys {all:.0}, one {one:.0}, ratio {:.1}", all / one),
        "ratio 8",
    );
}

/// Fills the first key of a vault.
fn fill(place: &Files, template: &Credential, count: u32) {
    let mut vault = place.create(1);
    let set = (0..count).flat_map(|number| another(template, number));
    vault
        .store_mut()
        .change_key(KeyNumber(1), set.collect())
        .unwrap();
    vault.close();
}

async fn attach_large(place: &Files) -> (Host, (Vault, VaultThread)) {
    let mut profile = Profile::default();
    profile.ctap.max_discoverable_credentials = 2 * MANY;
    let (vault, thread) = place.open().serve().unwrap();
    let key = Box::new(vault.key(KeyNumber(1)));
    (Host::attach_to(key, &profile).await, (vault, thread))
}

async fn many_credentials(directory: &std::path::Path, template: &Credential) {
    let (large, small) = (
        Files::new(directory, "large.redb"),
        Files::new(directory, "small.redb"),
    );
    fill(&large, template, MANY);
    fill(&small, template, 10);
    let (mut loads, mut opens) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let start = Instant::now();
        let vault = large.open();
        opens.push(start.elapsed());
        vault.store().key_state(KeyNumber(1)).unwrap();
        loads.push(start.elapsed());
        vault.close();
    }
    line(
        "100,000 passkeys opened and loaded",
        &format!(
            "{:.0} ms, of which opening {:.0} ms",
            us(median(&mut loads)) / 1e3,
            us(median(&mut opens)) / 1e3
        ),
        "1000 ms",
    );

    let (mut large, _large) = attach_large(&large).await;
    let (mut small, _small) = attach_large(&small).await;
    let ids = [
        large.register_passkey().await,
        small.register_passkey().await,
    ];
    let (mut among_many, mut among_few) = (Vec::new(), Vec::new());
    for _ in 0..3_000 {
        let got = large.transact(CBOR, &get_assertion(&ids[0])).await;
        among_many.push(got.elapsed);
        let got = small.transact(CBOR, &get_assertion(&ids[1])).await;
        among_few.push(got.elapsed);
    }
    let (many, few) = (median(&mut among_many), median(&mut among_few));
    line(
        "getAssertion among 100,000 to 10",
        &format!(
            "{:.1} us to {:.1} us, ratio {:.2}",
            us(many),
            us(few),
            us(many) / us(few)
        ),
        "ratio 1.2",
    );
}

async fn size_after_churn(directory: &std::path::Path, template: &Credential) {
    const KEYS: u32 = 20;
    let place = Files::new(directory, "churn.redb");
    let mut open = place.create(KEYS);
    let some = (0..200).flat_map(|number| another(template, 1 << 20 | number));
    open.store_mut()
        .change_key(KeyNumber(1), some.collect())
        .unwrap();
    let (vault, thread) = open.serve().unwrap();
    let start = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for key in 1..=KEYS {
        let mut vault = vault.key(KeyNumber(key));
        let template = template.clone();
        tasks.spawn(async move {
            for number in 0..MANY / KEYS {
                let put = another(&template, number);
                let id = match &put[1] {
                    Change::Put(Record::CredentialCounter { id, .. }) => *id,
                    _ => panic!("a counter is the second"),
                };
                vault.commit(ChangeSet::from_iter(put)).await.unwrap();
                let delete = [Place::Credential(id), Place::CredentialCounter(id)];
                let delete = delete.map(Change::Delete);
                vault.commit(ChangeSet::from_iter(delete)).await.unwrap();
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    let took = start.elapsed();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let length = place.length(); // while it is still open
    drop(vault);
    thread.join();
    let live = place.open().store().live_bytes();
    line(
        "file after 100,000 made and deleted",
        &format!(
            "{} KiB, live {} KiB ({:.0} s)",
            length / 1024,
            live / 1024,
            took.as_secs_f64()
        ),
        &format!("{} KiB", (2 * live + (1 << 20)) / 1024),
    );
}

/// Runs all parts, or those that are named: `cargo bench --bench vault -- load size`.
async fn run() {
    let directory = directory();
    let template = template(&directory).await;
    let named: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let wanted = |part: &str| named.is_empty() || named.iter().any(|name| name == part);
    if wanted("make") {
        durable_make_credential(&directory).await;
    }
    if wanted("get") {
        assertions_without_sync(&directory).await;
    }
    if wanted("together") {
        many_keys_at_once(&directory, &template, Committed::PinRetries).await;
        many_keys_at_once(&directory, &template, Committed::Passkey).await;
    }
    if wanted("load") {
        many_credentials(&directory, &template).await;
    }
    if wanted("size") {
        size_after_churn(&directory, &template).await;
    }
    let _ = fs::remove_dir_all(&directory);
}

fn main() {
    // `cargo test --benches` runs this too, and wants no figures.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async { tokio::spawn(run()).await.unwrap() });
}
