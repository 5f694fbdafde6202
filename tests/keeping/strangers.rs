//! Runs which meet what is not theirs: another run, another store, somebody's files.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use model::{AccountId, ImageId};

use crate::place::{Place, ended, failure, line};
use crate::server::ACCOUNT_ID;
use crate::traffic::{client, fill, upload};

/// A backup in a stream, of a stopped store of some images.
async fn backup_of(place: &Place, images: usize) -> Vec<u8> {
    fill(&place.start(), images).await;
    let made = ended(place.command(&["backup", "-"]));
    assert!(made.status.success());
    made.stdout
}

/// A run which has begun to restore this and waits for the rest.
async fn begin_to_restore(target: &Place, bytes: &[u8]) -> Child {
    let mut child = target
        .command(&["restore", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let input = child.stdin.as_mut().expect("it was piped");
    // Some blobs are read before the first is written.
    let most = &bytes[..bytes.len() / 8 * 7];
    input.write_all(most).expect("it reads");
    let deadline = Instant::now() + Duration::from_secs(30);
    while target.stored_if_any().await.is_empty() {
        assert!(Instant::now() < deadline, "nothing was restored");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    child
}

/// What a killed run has left is finished by the same one, into the same places, and nothing else
/// takes it for whole.
async fn a_killed_restore_is_nobody_elses(source: &Place, target: &Place, live: &Place) {
    let bytes = backup_of(source, 30).await;
    let mut killed = begin_to_restore(target, &bytes).await;
    if target.is_shared() {
        // There is no folder to lock.
        let error = failure(restore(target, &bytes));
        assert!(error.contains("another run is filling"), "{error}");
    }
    killed.kill().expect("it is killed");
    killed.wait().expect("it ends");

    for command in [&["backup", "-"][..], &["check"]] {
        let error = failure(target.command(command));
        assert!(error.contains("unfinished"), "{command:?}: {error}");
    }
    let error = failure(target.migrate(&Place::on_files()));
    assert!(error.contains("unfinished"), "{error}");
    let server = live.start();
    fill(&server, 4).await;
    live.assert_swept().await;
    let before = live.stored().await;
    let [_, blobs] = live.names();
    let mut elsewhere = restore(target, &bytes);
    elsewhere.env("CALOTYPE_BLOBS", blobs);
    let error = failure(elsewhere);
    assert!(error.contains("unfinished"), "{error}");
    assert_eq!(live.stored().await, before);

    assert!(ended(restore(target, &bytes)).status.success());
    assert_eq!(target.records().await, source.records().await);
    target.assert_whole();
    live.assert_whole();
}

/// From a file, since a stream would be read while it is refused.
fn restore(target: &Place, bytes: &[u8]) -> Command {
    let file = target.folder().join("backup.tar");
    fs::write(&file, bytes).expect("it is written");
    target.command(&["restore", file.to_str().expect("a path")])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_restore_is_finished_by_the_same_one() {
    let [source, target, live] = [(); 3].map(|()| Place::on_files());
    a_killed_restore_is_nobody_elses(&source, &target, &live).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_and_s3_a_killed_restore_is_finished_by_the_same_one() {
    let (Some(target), Some(live)) = (Place::on_servers(), Place::on_servers()) else {
        return;
    };
    a_killed_restore_is_nobody_elses(&Place::on_files(), &target, &live).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unfinished_move_keeps_to_its_places_and_mends_them() {
    let [from, to, live] = [(); 3].map(|()| Place::on_files());
    fill(&from.start(), 6).await;
    let account = AccountId::try_from(ACCOUNT_ID).expect("an id");
    let id = ImageId::from_path("first/0".to_owned());
    let image = from
        .catalog()
        .await
        .image(&account, &id)
        .await
        .expect("read");
    let key = image
        .and_then(|image| image.source)
        .expect("it has bytes")
        .blob;
    let bytes = from.blobs().get(&key).await.expect("read").expect("there");
    from.lose_bytes("first/0").await;
    let error = failure(from.migrate(&to));
    assert!(error.contains("has no bytes"), "{error}");

    let server = live.start();
    fill(&server, 3).await;
    live.assert_swept().await;
    let before = live.stored().await;
    let ([database, blobs], [target, _], [_, other]) = (from.names(), to.names(), live.names());
    let names = [
        "migrate", "--from", &database, &blobs, "--to", &target, &other,
    ];
    let error = failure(from.command(&names));
    assert!(error.contains("unfinished"), "{error}");
    assert_eq!(live.stored().await, before);

    // Bytes which had been written and are gone are brought again.
    from.blobs()
        .put(&key, bytes)
        .await
        .expect("it is there again");
    let lost: Vec<_> = to.stored().await.into_iter().take(2).collect();
    assert!(!lost.is_empty());
    to.blobs().delete(&lost).await.expect("deleted");
    line(from.migrate(&to));
    to.assert_whole();

    // Another move which fails does not open what this one has closed.
    from.lose_bytes("first/0").await;
    let error = failure(from.migrate(&Place::on_files()));
    assert!(error.contains("has no bytes"), "{error}");
    let server = from.start();
    let (status, answer) = upload(&client(), &server.images_url(), "too/late").await;
    assert_eq!(status, 503, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_restore_leaves_no_key() {
    let (place, live) = (Place::on_files(), Place::on_files());
    let bytes = backup_of(&place, 2).await;
    fill(&live.start(), 2).await;
    let key = live.data_dir().join("secret.key");
    assert!(!key.exists());
    let mut refused = restore(&live, &bytes);
    refused.env_remove("CALOTYPE_SECRET_KEY");
    let error = failure(refused);
    assert!(error.contains("not empty"), "{error}");
    assert!(!key.exists());

    let target = Place::on_files();
    let without = |target: &Place, bytes: &[u8]| {
        let mut command = restore(target, bytes);
        command.env_remove("CALOTYPE_SECRET_KEY");
        command
    };
    assert!(ended(without(&target, &bytes)).status.success());
    assert!(target.data_dir().join("secret.key").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_takes_no_place_of_others() {
    let place = Place::on_files();
    fill(&place.start(), 3).await;
    let path = |name: &str| place.folder().join(name);
    let back_up = |name: &str| {
        let target = path(name);
        place.command(&["backup", target.to_str().expect("a path"), "--json"])
    };
    // Another run is writing there.
    fs::create_dir(path("nightly.unfinished")).expect("a folder");
    for name in ["nightly.tar", "nightly"] {
        let draft = path(&format!("{name}.unfinished"));
        let file = if name == "nightly" {
            fs::File::open(&draft)
        } else {
            fs::File::create(&draft)
        };
        let file = file.expect("it opens");
        file.lock().expect("it is locked");
        let error = failure(back_up(name));
        assert!(error.contains("another backup is writing"), "{error}");
        assert!(draft.exists() && !path(name).exists());
        drop(file);
        line(back_up(name));
        assert!(!draft.exists());
    }
    // Somebody's folder, and somebody's file behind a link.
    fs::create_dir(path("photos.unfinished")).expect("a folder");
    fs::write(path("photos.unfinished/mine"), b"mine").expect("written");
    let error = failure(back_up("photos"));
    assert!(error.contains("mine"), "{error}");
    fs::write(path("mine"), b"mine").expect("written");
    std::os::unix::fs::symlink(path("mine"), path("photos.tar.unfinished")).expect("a link");
    let error = failure(back_up("photos.tar"));
    assert!(error.contains("is a link"), "{error}");
    for name in ["mine", "photos.unfinished/mine"] {
        assert_eq!(fs::read(path(name)).expect("it is there"), b"mine");
    }
    // Nor one which is not there yet, or may have no end.
    std::os::unix::fs::symlink(path("absent"), path("dangling.tar.unfinished")).expect("a link");
    let error = failure(back_up("dangling.tar"));
    assert!(
        error.contains("is a link") && !path("absent").exists(),
        "{error}"
    );
    fs::create_dir(path("kind.tar.unfinished")).expect("a folder");
    let error = failure(back_up("kind.tar"));
    assert!(error.contains("another kind"), "{error}");
    // Who has the draft of a killed run open reads nothing of what is written now: the key is in it.
    let left = fs::File::create(path("left.tar.unfinished")).expect("a file");
    left.set_permissions(fs::Permissions::from_mode(0o666))
        .expect("they are set");
    line(back_up("left.tar"));
    assert_eq!(left.metadata().expect("it is open").len(), 0);
    let made = fs::metadata(path("left.tar")).expect("it is there");
    assert_eq!(made.permissions().mode() & 0o777, 0o600);
    // A slash at the end is no other name.
    for name in ["slash/", "slash.tar/"] {
        line(back_up(name));
        let name = name.trim_end_matches('/');
        assert!(path(name).exists() && !path(&format!("{name}.unfinished")).exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_which_is_not_there_is_not_repaired_away() {
    let place = Place::on_files();
    fill(&place.start(), 6).await;
    // What a server writes then is not enough to trust it.
    let (blobs, away) = (place.data_dir().join("blobs"), place.folder().join("away"));
    fs::rename(&blobs, &away).expect("it is renamed");
    let (status, answer) = {
        let server = place.start();
        upload(&client(), &server.images_url(), "one").await
    };
    assert_eq!(status, 200, "{answer}");
    let before = place.records().await;
    let repair = [
        "check",
        "--repair",
        "--delete-images",
        "--older-than",
        "1ms",
    ];
    let error = failure(place.command(&repair));
    assert!(error.contains("Nothing was changed"), "{error}");
    assert_eq!(place.records().await, before);
}
