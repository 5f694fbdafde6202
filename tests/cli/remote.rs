//! The commands which speak to a running server.

use crate::program::Program;
use crate::server::{ACCOUNT_HASH, ACCOUNT_ID, API_TOKEN, Server};

fn photo() -> Vec<u8> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pictures/photo.jpg");
    std::fs::read(path).expect("the picture is in the repository")
}

/// The program, told of a server.
fn client(server: &Server) -> Program {
    Program::new()
        .with("CALOTYPE_URL", server.url())
        .with("CALOTYPE_TOKEN", API_TOKEN)
}

#[test]
fn images_are_uploaded_listed_edited_exported_and_deleted() {
    let server = Server::start();
    let program = client(&server);
    assert_eq!(
        program.run(&["health", "--url", server.url()]).text(),
        "ready\n"
    );

    program.write("a.jpg", photo());
    let upload = [
        "images",
        "upload",
        "a.jpg",
        "--id",
        "shop/a",
        "--metadata",
        r#"{"album":7}"#,
    ];
    let uploaded = program
        .run(&[&upload[..], &["--json"]].concat())
        .json()
        .remove(0);
    assert_eq!(
        (&uploaded["id"], &uploaded["filename"]),
        (&"shop/a".into(), &"a.jpg".into())
    );
    let taken = program.run(&upload).error(1);
    assert!(taken.contains("(5409)"), "{taken}");

    let got = program
        .run(&["images", "get", "shop/a", "--json"])
        .json()
        .remove(0);
    assert_eq!(got["meta"]["album"], 7);
    let edit = ["images", "edit", "shop/a", "--creator", "ann", "--json"];
    assert_eq!(program.run(&edit).json()[0]["creator"], "ann");
    for (creator, count) in [("ann", 1), ("bob", 0)] {
        let listed = program
            .run(&["images", "list", "--creator", creator])
            .text();
        assert_eq!(listed.lines().count(), count, "{listed}");
    }

    program.run(&["images", "export", "out"]).text();
    let folder = program.folder().join("out");
    let exported = std::fs::read(folder.join("shop%2Fa")).expect("it was written");
    assert_eq!(exported, photo());
    let list = std::fs::read_to_string(folder.join("images.jsonl")).expect("it was written");
    let line: serde_json::Value = serde_json::from_str(&list).expect("one line");
    assert_eq!(
        (&line["id"], &line["file"]),
        (&"shop/a".into(), &"shop%2Fa".into())
    );

    program.run(&["images", "delete", "shop/a"]).text();
    let gone = program.run(&["images", "get", "shop/a"]).error(1);
    assert!(gone.contains("Image not found (5404)"), "{gone}");
}

/// What a picture is made of is said once it was made, and a purge takes it away.
#[test]
fn a_picture_is_explained_and_purged() {
    let server = Server::start();
    let program = client(&server);
    program.write("a.jpg", photo());
    program
        .run(&["images", "upload", "a.jpg", "--id", "shop/a"])
        .text();
    let address = format!("https://images.example/{ACCOUNT_HASH}/shop/a/public");
    let explain = |accept: &str| {
        let arguments = ["explain", &address, "--accept", accept, "--json"];
        program.run(&arguments).json().remove(0)
    };
    let explained = explain("image/webp");
    assert_eq!(explained["image"], "shop/a");
    assert_eq!(explained["format"]["chosen"], "image/webp");
    assert_eq!(explained["cache"]["tier"], "miss");
    assert_eq!(explain("image/webp")["cache"]["tier"], "memory");
    assert_eq!(explain("*/*")["format"]["chosen"], "image/jpeg");

    let purge = |what: &[&str]| {
        let arguments = [&["images", "purge", "--json"], what].concat();
        program.run(&arguments).json().remove(0)
    };
    assert_eq!(purge(&["shop/a", "--variant", "public"])["entries"], 2);
    assert_eq!(purge(&["--all"])["entries"], 0);
    assert_eq!(explain("image/webp")["cache"]["tier"], "miss");
    assert_eq!(purge(&["--variant", "public"])["entries"], 1);
    assert_eq!(
        purge(&["--source", "https://a.example/b.png"])["sources"],
        1
    );

    let unknown = program.run(&["images", "purge", "missing"]).error(1);
    assert!(unknown.contains("(5404)"), "{unknown}");
    program.run(&["images", "purge"]).error(2);
    program.run(&["images", "purge", "a", "--all"]).error(2);
    program.run(&["explain", "shop/a"]).error(2);
    let nothing = program.run(&["explain", "/nothing/here"]).error(1);
    assert!(nothing.contains("refused"), "{nothing}");
    let stranger = Program::new()
        .with("CALOTYPE_URL", server.url())
        .with("CALOTYPE_TOKEN", "wrong");
    stranger.run(&["explain", &address]).error(1);
}

#[test]
fn several_uploads_go_on_after_a_failure_and_end_with_1() {
    let server = Server::start();
    let program = client(&server);
    program.write("a.jpg", photo());
    program.write("b.txt", "no picture");
    let ran = program.run(&["images", "upload", "a.jpg", "b.txt", "c.jpg", "--json"]);
    assert_eq!(ran.stdout.split(|byte| *byte == b'\n').count(), 2);
    let error = ran.error(1);
    for part in [
        "b.txt: the server refused",
        "c.jpg: c.jpg cannot be read",
        "2 of 3 failed",
    ] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn lists_walk_over_their_pages() {
    let server = Server::start();
    let program = client(&server);
    program.write("a.jpg", photo());
    program
        .run(&["images", "upload", "a.jpg", "a.jpg", "a.jpg"])
        .text();
    let all = program.run(&["images", "list", "--json"]).json();
    assert_eq!(all.len(), 3);
    let two = program
        .run(&["images", "list", "--json", "--limit", "2"])
        .json();
    assert_eq!(two, all[..2]);
    let ascending = program
        .run(&["images", "list", "--json", "--order", "asc"])
        .json();
    assert!(ascending.iter().eq(all.iter().rev()));
}

#[test]
fn variants_are_created_listed_edited_and_deleted() {
    let server = Server::start();
    let program = client(&server).with("CALOTYPE_ACCOUNT", ACCOUNT_ID);
    let create = [
        "variant",
        "create",
        "hero",
        "width=400,height=300,fit=cover",
    ];
    let created = program.run(&create).text();
    assert!(
        created.starts_with("hero  ") && created.contains("width=400"),
        "{created}"
    );
    let edit = [
        "variant",
        "edit",
        "hero",
        "width=500",
        "--never-require-signed-urls",
        "true",
    ];
    let edited = program.run(&edit).text();
    assert!(
        edited.contains("width=500") && edited.contains("never requires"),
        "{edited}"
    );
    assert_eq!(program.run(&["variant", "list"]).text().lines().count(), 2);
    program.run(&["variant", "delete", "hero"]).text();
    let error = program.run(&["variant", "delete", "hero"]).error(1);
    assert!(error.contains("(5401)"), "{error}");
}

#[test]
fn a_wrong_token_is_refused_and_never_shown() {
    let server = Server::start();
    let program = Program::new()
        .with("CALOTYPE_URL", server.url())
        .with("CALOTYPE_TOKEN", "s3cret");
    let error = program
        .run(&["images", "list", "--account", ACCOUNT_ID])
        .error(1);
    assert!(error.contains("Authentication error (10000)"), "{error}");
    assert!(!error.contains("s3cret"), "{error}");
}

#[test]
fn tokens_can_be_minted_beside_a_running_server() {
    let server = Server::start();
    let folder = server.data_dir().to_str().expect("the folder is text");
    let create = [
        "token",
        "create",
        "--permission",
        "read",
        "--data-dir",
        folder,
    ];
    let token = Program::new().run(&create).text();
    let program = Program::new()
        .with("CALOTYPE_URL", server.url())
        .with("CALOTYPE_TOKEN", token.trim_end());
    assert_eq!(program.run(&["images", "list"]).text(), "");
}
