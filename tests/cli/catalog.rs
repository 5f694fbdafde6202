use crate::program::Program;

const ID: &str = "0123456789abcdef0123456789abcdef";
const HASH: &str = "Vi7wi5KSItxGFsWRG2Us6Q";

/// The program with one account.
fn with_account() -> Program {
    let program = Program::new();
    let create = [
        "account", "create", "--id", ID, "--hash", HASH, "--name", "shop",
    ];
    let printed = program.run(&create).text();
    assert!(printed.contains(ID) && printed.contains(HASH), "{printed}");
    program
}

#[test]
fn an_account_is_created_listed_shown_and_deleted() {
    let program = with_account();
    let accounts = program.run(&["account", "list", "--json"]).json();
    assert_eq!(accounts.len(), 1);
    assert_eq!(
        (&accounts[0]["id"], &accounts[0]["hash"]),
        (&ID.into(), &HASH.into())
    );
    assert_eq!(
        program.run(&["account", "show", HASH, "--json"]).json(),
        accounts
    );

    let taken = ["account", "create", "--id", ID];
    assert!(program.run(&taken).error(1).contains("is taken"));
    program.run(&["account", "delete", ID]).error(2);
    program.run(&["account", "delete", ID, "--yes"]).text();
    assert_eq!(program.run(&["account", "list"]).text(), "");
    let error = program.run(&["account", "show"]).error(1);
    assert!(error.contains("calotype account create"), "{error}");
}

#[test]
fn several_accounts_must_be_told_apart() {
    let program = with_account();
    program.run(&["account", "create"]).text();
    let error = program.run(&["token", "create"]).error(2);
    assert!(error.contains("--account"), "{error}");
    program.run(&["token", "create", "--account", HASH]).text();
    program
        .run(&["token", "create", "--account", "shop"])
        .error(2);
}

#[test]
fn a_token_is_shown_once_listed_without_it_and_revoked() {
    let program = with_account();
    let create = [
        "token",
        "create",
        "--name",
        "ci",
        "--permission",
        "read",
        "--json",
    ];
    let created = program.run(&create).json().remove(0);
    let secret = created["token"].as_str().expect("the token is printed");
    assert!(secret.len() >= 32, "{secret}");
    let listed = program.run(&["token", "list"]).text();
    let id = created["id"].as_str().expect("it has an id");
    assert!(listed.contains(id) && listed.contains("read") && listed.contains("ci"));
    assert!(!listed.contains(secret), "{listed}");
    program.run(&["token", "revoke", id]).text();
    assert_eq!(program.run(&["token", "list"]).text(), "");
    assert!(
        program
            .run(&["token", "revoke", id])
            .error(1)
            .contains("there is no token")
    );
}

#[test]
fn keys_are_created_rotated_and_deleted() {
    let program = with_account();
    assert_eq!(program.run(&["key", "list"]).text(), "default\n");
    let created = program.run(&["key", "create", "next"]).text();
    let next = |program: &Program| {
        let keys = program.run(&["key", "list", "--values", "--json"]).json();
        keys.into_iter()
            .find(|key| key["name"] == "next")
            .expect("the key is listed")
    };
    assert_eq!(next(&program)["value"], created.trim_end());
    assert!(
        program
            .run(&["key", "create", "next"])
            .error(1)
            .contains("--rotate")
    );
    let rotated = program.run(&["key", "create", "next", "--rotate"]).text();
    assert_ne!(rotated, created);
    assert_eq!(next(&program)["value"], rotated.trim_end());
    assert!(
        program
            .run(&["key", "create", "third"])
            .error(1)
            .contains("signing_keys_max")
    );
    program.run(&["key", "delete", "default"]).text();
    assert_eq!(program.run(&["key", "list"]).text(), "next\n");
}

#[test]
fn a_stored_key_signs() {
    let program = with_account();
    let key = program
        .run(&["key", "list", "--values", "--json"])
        .json()
        .remove(0);
    let value = key["value"].as_str().expect("it has a value");
    let path = format!("/{HASH}/image/public");
    let stored = program.run(&["sign", &path]).text();
    assert_eq!(
        stored,
        program.run(&["sign", &path, "--key-value", value]).text()
    );
    program.run(&["sign", &path, "--key", "missing"]).error(1);
    program.run(&["sign", "/not-a-hash/image/public"]).error(2);
}

#[test]
fn a_mistyped_folder_is_not_filled_with_an_empty_database() {
    let program = Program::new();
    let error = program
        .run(&["account", "list", "--data-dir", "elsewhere"])
        .error(1);
    assert!(error.contains("there is no database"), "{error}");
    assert!(!program.folder().join("elsewhere").exists());
}

#[test]
fn what_is_created_belongs_to_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let program = with_account();
    let folder = program.folder().join("data");
    for (path, mode) in [(folder.clone(), 0o700), (folder.join("secret.key"), 0o600)] {
        let permissions = path.metadata().expect("it exists").permissions();
        assert_eq!(permissions.mode() & 0o777, mode, "{}", path.display());
    }
}
