//! `calotype migrate`.

use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::picture::gif;
use crate::place::{Place, ended, failure, line};
use crate::server::{ACCOUNT_HASH, Server};
use crate::traffic::{Traffic, blob, client, fill, upload};

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

struct Random(u64);

impl Random {
    #[expect(clippy::print_stderr, reason = "the seed repeats a failed run")]
    fn new() -> Self {
        let seed = setting("CALOTYPE_KILL_SEED").unwrap_or_else(|| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            now.expect("after 1970").as_millis() as u64
        });
        eprintln!("CALOTYPE_KILL_SEED={seed}");
        Self(seed | 1)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_move_to_files() {
    let (from, to) = (Place::on_files(), Place::on_files());
    move_and_compare(&from, &to, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_and_s3_files_move_up_and_back() {
    let Some(up) = Place::on_servers() else {
        return;
    };
    let (from, back) = (Place::on_files(), Place::on_files());
    move_and_compare(&from, &up, 6).await;
    let up_records = up.records().await;
    let moved = line(up.migrate(&back));
    assert_eq!(moved["accounts"], 1, "{moved}");
    assert_eq!(back.records().await, up_records);
    back.assert_whole();
    let server = back.start();
    assert_eq!(blob(&client(), &server, "first/0").await.0, 200);
}

/// While clients write, the copy is killed again and again, and then ends.
async fn move_and_compare(from: &Place, to: &Place, kills: u64) {
    let kills = setting("CALOTYPE_KILL_ROUNDS").unwrap_or(kills);
    let mut random = Random::new();
    let source = from.start();
    fill(&source, 30).await;
    let traffic = Traffic::start(&source, "during");
    let mut killed = 0;
    for _ in 0..kills {
        let mut command = from.migrate(to);
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        tokio::time::sleep(Duration::from_millis(20 + random.below(400))).await;
        if child.try_wait().expect("our own child").is_some() {
            break;
        }
        child.kill().expect("it is still there");
        child.wait().expect("a killed process ends");
        killed += 1;
        // No server works with half a copy, or the source would miss what is written there.
        let refused = ended(to.command(&["account", "list"]));
        let error = String::from_utf8_lossy(&refused.stderr).into_owned();
        let begun = error.contains("unfinished") || error.contains("there is no database");
        let is_empty = refused.status.success() && refused.stdout.is_empty();
        assert!(begun || is_empty, "{error}");
    }
    let moved = ended(from.migrate(to));
    let known = {
        // After the end, the source refuses.
        let (status, answer) = upload(&client(), &source.images_url(), "too/late").await;
        assert_eq!(status, 503, "{answer}");
        traffic.end().await
    };
    let error = String::from_utf8_lossy(&moved.stderr).into_owned();
    let is_done = moved.status.success() || (killed < kills && error.contains("not empty"));
    assert!(is_done, "{error}");
    assert!(!known.images.is_empty() && known.refused > 0, "{known:?}");

    let records = from.records().await;
    assert_eq!(to.records().await, records);
    to.assert_whole();
    // It is whole, so that nothing is copied over it.
    let again = failure(from.migrate(to));
    assert!(again.contains("not empty"), "{again}");
    let target = to.start();
    compare(&source, &target, &known.images).await;

    // The source can be opened again.
    let [database, blobs] = from.names();
    let reopen = ["migrate", "--from", &database, &blobs, "--reopen"];
    assert!(ended(from.command(&reopen)).status.success());
    let (status, answer) = upload(&client(), &source.images_url(), "opened/again").await;
    assert_eq!(status, 200, "{answer}");
}

async fn compare(
    source: &Server,
    target: &Server,
    images: &std::collections::BTreeMap<String, bool>,
) {
    let client = client();
    for (id, there) in images {
        let (status, bytes) = blob(&client, target, id).await;
        if *there {
            assert_eq!((status.as_u16(), bytes), (200, gif(id.as_bytes())), "{id}");
        } else {
            assert_eq!(status, 404, "{id}");
        }
    }
    for server in [source, target] {
        let url = format!("{}/{ACCOUNT_HASH}/first/0/thumb", server.url());
        let answer = client.get(url).send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
    }
    let (status, answer) = upload(&client, &target.images_url(), "after/move").await;
    assert_eq!(status, 200, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_without_bytes_stops_a_move_and_opens_the_source() {
    let (from, to) = (Place::on_files(), Place::on_files());
    let source = from.start();
    fill(&source, 4).await;
    from.lose_bytes("first/0").await;
    let error = failure(from.migrate(&to));
    assert!(error.contains("has no bytes"), "{error}");
    let (status, answer) = upload(&client(), &source.images_url(), "still/open").await;
    assert_eq!(status, 200, "{answer}");

    let repair = ["check", "--repair", "--delete-images"];
    assert!(ended(from.command(&repair)).status.success());
    let moved = line(from.migrate(&to));
    assert_eq!(moved["images"], 3, "{moved}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_of_somebody_else_is_refused() {
    let (from, to) = (Place::on_files(), Place::on_files());
    fill(&from.start(), 2).await;
    fill(&to.start(), 2).await;
    let before = to.records().await;
    let error = failure(from.migrate(&to));
    assert!(error.contains("not empty"), "{error}");
    assert_eq!(to.records().await, before);
    to.assert_whole();

    // A server is using it.
    let _server = to.start();
    let error = failure(from.migrate(&to));
    assert!(error.contains("another Calotype server"), "{error}");

    let [database, blobs] = from.names();
    let same = ["migrate", "--from", &database, &blobs];
    assert_eq!(ended(from.command(&same)).status.code(), Some(2));
}
