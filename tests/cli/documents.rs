//! The pages which are made from the code. `ACCEPT=1` writes them anew.

use std::path::Path;

#[track_caller]
fn check(name: &str, made: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs/reference")
        .join(name);
    if std::env::var_os("ACCEPT").is_some() {
        std::fs::write(&path, made).expect("the page can be written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == made,
        "docs/reference/{name} is not current; `ACCEPT=1 cargo test --test cli` writes it anew"
    );
}

#[test]
fn the_page_of_the_settings_is_current() {
    check("config.md", &calotype::config::reference());
}

#[test]
fn the_page_of_the_command_line_is_current() {
    check("cli.md", &calotype::cli::reference());
}
