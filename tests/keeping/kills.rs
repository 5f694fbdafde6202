//! Commands on whole stores which are killed at no particular moment, and begun again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;

use crate::picture::gif;
use crate::place::{Place, blobs_of, ended, failure, line, names_of};
use crate::server::Server;
use crate::traffic::{Traffic, blob, client, count, fill, upload};
use crate::until::until;

/// Images of a store to begin with.
const IMAGES: usize = 40;

const SIGKILL: i32 = 9;

fn setting(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value}")))
}

/// Strikes at moments which a seed repeats.
struct Killer {
    random: u64,
    /// Kills which are still to be done.
    left: u64,
    /// About as long as the command takes.
    window: Duration,
}

impl Killer {
    #[expect(clippy::print_stderr, reason = "the seed repeats a failed run")]
    fn new(rounds: u64) -> Self {
        let left = setting("CALOTYPE_KILL_ROUNDS").unwrap_or(rounds);
        let seed = setting("CALOTYPE_KILL_SEED").unwrap_or_else(|| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            now.expect("after 1970").as_millis() as u64
        });
        eprintln!("CALOTYPE_KILL_SEED={seed} CALOTYPE_KILL_ROUNDS={left}");
        Self {
            random: seed | 1,
            left,
            window: Duration::from_secs(1),
        }
    }

    fn below(&mut self, end: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % end
    }

    /// Runs a command which succeeds if it ends, and says whether it did or was killed before that.
    #[expect(
        clippy::print_stderr,
        reason = "of a long run it is to be seen how far it is"
    )]
    async fn ends(&mut self, mut command: Command, may_kill: bool) -> bool {
        let began = Instant::now();
        command.stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        if may_kill && self.left > 0 {
            let moment = self.below(self.window.as_micros() as u64);
            // Not to wait for something, but to strike at no particular moment.
            tokio::time::sleep(Duration::from_micros(moment)).await;
            child.kill().expect("our own child");
        }
        let output = tokio::task::block_in_place(|| child.wait_with_output());
        let output = output.expect("it ends");
        if output.status.signal() == Some(SIGKILL) {
            self.left -= 1;
            if self.left.is_multiple_of(25) {
                eprintln!("{} kills are left", self.left);
            }
            return false;
        }
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{error}");
        self.window = began.elapsed();
        true
    }
}

/// What there is of a store which is being filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filled {
    Nothing,
    /// No server works with it.
    Begun,
    Whole,
}

fn filled(place: &Place) -> Filled {
    let listed = ended(place.command(&["account", "list"]));
    let error = String::from_utf8_lossy(&listed.stderr);
    if listed.status.success() {
        return if listed.stdout.is_empty() {
            Filled::Nothing
        } else {
            Filled::Whole
        };
    }
    if error.contains("there is no database") {
        return Filled::Nothing;
    }
    assert!(error.contains("unfinished"), "{error}");
    Filled::Begun
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_of_files_which_is_killed_goes_on() {
    move_under_kills(|| Some((Place::on_files(), Place::on_files()))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_and_s3_a_move_up_which_is_killed_goes_on() {
    move_under_kills(|| Some((Place::on_files(), Place::on_servers()?))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_and_s3_a_move_back_which_is_killed_goes_on() {
    move_under_kills(|| Some((Place::on_servers()?, Place::on_files()))).await;
}

/// Kills of one move, before it may end.
const KILLS_OF_A_MOVE: u32 = 5;

async fn move_under_kills(places: impl Fn() -> Option<(Place, Place)>) {
    let mut killer = Killer::new(5);
    while killer.left > 0 {
        let Some((from, to)) = places() else { return };
        move_under_kills_of(&mut killer, &from, &to).await;
    }
}

/// From one store to another, while clients write to the first.
async fn move_under_kills_of(killer: &mut Killer, from: &Place, to: &Place) {
    let source = from.start();
    fill(&source, IMAGES).await;
    let clients = ["one", "two", "three"].map(|name| Traffic::start(&source, name));
    let [database, blobs] = from.names();
    let mut kills = 0;
    loop {
        let mut command = from.migrate(to);
        command.stdout(Stdio::null());
        if killer.ends(command, kills < KILLS_OF_A_MOVE).await {
            break;
        }
        kills += 1;
        match filled(to) {
            Filled::Whole => break,
            // Some are opened to the clients again before the next run.
            Filled::Begun if killer.below(2) == 0 => {
                let mut reopen = from.command(&["migrate", "--from", &database, &blobs]);
                reopen.arg("--reopen");
                assert!(ended(reopen).status.success());
            }
            Filled::Begun | Filled::Nothing => {}
        }
    }
    // The source takes no more, and what it took is in the target.
    let client = client();
    let (status, answer) = upload(&client, &source.images_url(), "too/late").await;
    assert_eq!(status, 503, "{answer}");
    let mut known: BTreeMap<_, _> = (0..IMAGES)
        .map(|number| (format!("first/{number}"), number != 1))
        .collect();
    for acknowledged in join_all(clients.map(Traffic::end)).await {
        known.extend(acknowledged.images);
    }
    let there = known.iter().filter(|(_, there)| **there);
    let there: BTreeSet<&str> = there.map(|(id, _)| id.as_str()).collect();

    let records = to.records().await;
    assert_eq!(records, from.records().await);
    assert_eq!(names_of(&records), there);
    assert_eq!(blobs_of(&records).len(), there.len());
    to.assert_whole();
    let again = failure(from.migrate(to));
    assert!(again.contains("not empty"), "{again}");

    let target = to.start();
    assert_eq!(count(&client, &source).await, there.len() as u64);
    assert_eq!(count(&client, &target).await, there.len() as u64);
    compare(&target, &known).await;
    to.assert_swept().await;
}

/// Compares what a server delivers with what clients were told.
async fn compare(server: &Server, known: &BTreeMap<String, bool>) {
    let client = client();
    for (id, there) in known {
        let (status, bytes) = blob(&client, server, id).await;
        if *there {
            assert_eq!((status.as_u16(), bytes), (200, gif(id.as_bytes())), "{id}");
        } else {
            assert_eq!(status, 404, "{id}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_backup_is_never_taken_for_a_whole_one() {
    back_up_under_kills(|| Some(Place::on_files())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_and_s3_a_killed_backup_is_never_taken_for_a_whole_one() {
    back_up_under_kills(Place::on_servers).await;
}

/// Kills of one backup, before it may end.
const KILLS_OF_A_BACKUP: u32 = 2;

async fn back_up_under_kills(place: impl Fn() -> Option<Place>) {
    let mut killer = Killer::new(3 * u64::from(KILLS_OF_A_BACKUP));
    for name in ["kept", "kept.tar", "-"].iter().cycle() {
        if killer.left == 0 {
            return;
        }
        let Some(place) = place() else { return };
        back_up_under_kills_of(&mut killer, &place, name).await;
    }
}

async fn back_up_under_kills_of(killer: &mut Killer, place: &Place, name: &str) {
    let server = place.start();
    fill(&server, IMAGES).await;
    let before = Traffic::start(&server, "before");
    until(async || place.records().await.len() >= IMAGES + 20).await;
    let before = before.end().await.images;
    let during = Traffic::start(&server, "during");
    let is_stream = name == "-";
    let path = place
        .folder()
        .join(if is_stream { "stream.tar" } else { name });
    let mut unfinished = path.clone().into_os_string();
    unfinished.push(".unfinished");
    let unfinished = PathBuf::from(unfinished);
    let mut kills = 0;
    loop {
        let path_text = path.to_str().expect("a path");
        let mut command = place.command(&["backup", if is_stream { name } else { path_text }]);
        if is_stream {
            let file = File::create(&path).expect("it is created");
            command.stdout(file);
        } else {
            command.stdout(Stdio::null());
        }
        if killer.ends(command, kills < KILLS_OF_A_BACKUP).await {
            break;
        }
        kills += 1;
        for left in [&path, &unfinished] {
            if !left.exists() {
                continue;
            }
            let scratch = Place::on_files();
            let restore = ["restore", left.to_str().expect("a path")];
            let restored = ended(scratch.command(&restore));
            if restored.status.success() {
                // It was killed after its last byte.
                scratch.assert_whole();
                compare(&scratch.start(), &before).await;
            } else {
                let error = String::from_utf8_lossy(&restored.stderr);
                assert!(error.contains("the backup is damaged"), "{error}");
                assert!(is_stream || *left == unfinished, "{error}");
                assert!(!scratch.data_dir().exists(), "{error}");
            }
        }
        if !is_stream && path.exists() {
            break;
        }
    }
    during.end().await;
    assert!(!unfinished.exists());
    let target = Place::on_files();
    line(target.command(&["restore", path.to_str().expect("a path"), "--json"]));
    target.assert_whole();
    compare(&target.start(), &before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_restore_is_begun_again() {
    restore_under_kills(|| Some(Place::on_files())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_and_s3_a_killed_restore_is_begun_again() {
    restore_under_kills(Place::on_servers).await;
}

/// Kills of restores into one store, before one may end.
const KILLS_OF_A_RESTORE: u32 = 3;

/// Of two stores, so that nothing of the one may be left where the other is restored after all.
async fn restore_under_kills(target: impl Fn() -> Option<Place>) {
    let mut killer = Killer::new(6);
    let sources = [(Place::on_files(), IMAGES), (Place::on_files(), 2 * IMAGES)];
    let mut backups = Vec::new();
    for (source, images) in &sources {
        fill(&source.start(), *images).await;
        let records = source.records().await;
        for name in ["kept", "kept.tar"] {
            let path = source.folder().join(name);
            let path = path.to_str().expect("a path").to_owned();
            line(source.command(&["backup", &path, "--json"]));
            backups.push((path, records.clone()));
        }
    }
    while killer.left > 0 {
        let Some(target) = target() else { return };
        let mut kills = 0;
        let records = loop {
            let (path, records) = &backups[killer.below(backups.len() as u64) as usize];
            let from_stream = Path::new(path)
                .extension()
                .is_some_and(|ending| ending == "tar")
                && killer.below(2) == 0;
            let mut command = target.command(&["restore", if from_stream { "-" } else { path }]);
            command.stdout(Stdio::null()).stdin(if from_stream {
                Stdio::from(File::open(path).expect("it is there"))
            } else {
                Stdio::null()
            });
            if killer.ends(command, kills < KILLS_OF_A_RESTORE).await {
                assert_eq!(filled(&target), Filled::Whole);
                break records;
            }
            kills += 1;
            if filled(&target) == Filled::Whole {
                break records;
            }
        };
        assert_eq!(target.records().await, *records);
        assert_eq!(target.stored().await, blobs_of(records));
        target.assert_whole();
        assert_eq!(
            count(&client(), &target.start()).await,
            names_of(records).len() as u64
        );
    }
}
