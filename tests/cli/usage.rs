use crate::program::Program;

#[test]
fn the_version_is_printed_for_people_and_programs() {
    let program = Program::new();
    let version = env!("CARGO_PKG_VERSION");
    let first = format!("calotype {version}\n");
    assert_eq!(program.run(&["--version"]).text(), first);
    let json = program.run(&["version", "--json"]).json();
    assert_eq!(json[0]["version"], version);
    let avif = json[0]["avif_encoder"].as_str().expect("a text");
    let text = program.run(&["version"]).text();
    assert_eq!(text, format!("{first}AVIF by {avif}\n"));
}

#[test]
fn help_is_no_failure_and_wrong_usage_is_2() {
    let program = Program::new();
    assert!(program.run(&["--help"]).text().contains("serve"));
    for arguments in [
        &[][..],
        &["frobnicate"],
        &["serve", "--no-such-setting"],
        &["images", "get"],
        &["account", "create", "--id", "short"],
        &["images", "list", "--url", "not an address"],
    ] {
        program.run(arguments).error(2);
    }
}

#[test]
fn remote_commands_ask_for_a_token() {
    let error = Program::new().run(&["images", "list"]).error(2);
    assert!(error.contains("CALOTYPE_TOKEN"), "{error}");
}

#[test]
fn a_server_which_is_not_there_fails_with_its_address() {
    // Port 9 (discard) of loopback: nothing listens there.
    let url = ["--url", "http://127.0.0.1:9"];
    // A proxy is not asked for this very machine.
    let error = Program::new()
        .with("HTTP_PROXY", "http://127.0.0.1:1")
        .run(&[&["health"][..], &url].concat())
        .error(1);
    assert!(
        error.contains("http://127.0.0.1:9/ cannot be reached"),
        "{error}"
    );
    let program = Program::new().with("CALOTYPE_TOKEN", "s3cret");
    let error = program
        .run(&[&["images", "list"][..], &url].concat())
        .error(1);
    assert!(
        error.contains("cannot be reached") && !error.contains("s3cret"),
        "{error}"
    );
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    let program = Program::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = program.run(&["completions", shell]).text();
        assert!(
            script.contains("calotype") && script.contains("transform"),
            "{shell}"
        );
    }
    program.run(&["completions", "tcl"]).error(2);
    let page = program.run(&["man"]).text();
    assert!(
        page.contains(".TH calotype 1") && page.contains("transform"),
        "{page}"
    );
    std::fs::create_dir(program.folder().join("man")).expect("a new folder");
    program.run(&["man", "--into", "man"]).text();
    for name in ["calotype.1", "calotype-serve.1", "calotype-images-list.1"] {
        assert!(program.folder().join("man").join(name).exists(), "{name}");
    }
    assert!(
        program
            .run(&["man", "--into", "missing"])
            .error(1)
            .contains("missing")
    );
}
