use crate::program::Program;

const PATH: &str = "/cheeW4oKsx5ljh8e8BoL2A/bc27a117-9509-446b-8c69-c81bfeac0a01/mobile";
const FIRST: &str = "k3yForTests-0123456789abcdefABCDEF";
const SECOND: &str = "second-key-0000000000000000000000";

#[test]
fn signatures_equal_the_vectors() {
    let program = Program::new();
    let prefixed = format!("/cdn-cgi/imagedelivery{PATH}");
    for (key, path, expires, signature) in [
        (
            FIRST,
            PATH,
            Some("1631289275"),
            "4a945ec9a055446656215c67c2da4520d873a984d8f15ad197017cd8357b427e",
        ),
        (
            FIRST,
            PATH,
            Some("4102444800"),
            "8af21a880d7ea871d7a61528a43694e5e0450b107a0c21eaa81533f8361f9cb0",
        ),
        (
            FIRST,
            PATH,
            None,
            "5e58c8a11713e8a5300b08d86483ba3ca7d43bb5fa98d6c93cac38ebacc9d1fe",
        ),
        (
            FIRST,
            &prefixed,
            Some("4102444800"),
            "17fef658f59d7249f59f988e716d0377ae34f9277cca35f94a630a0b0776e61e",
        ),
        (
            FIRST,
            &prefixed,
            None,
            "395433305a9545e0912222b9b23fea591ff46299f90623acdfccbeac6fabe849",
        ),
        (
            SECOND,
            PATH,
            Some("4102444800"),
            "56886ecb5fc67edd15978876c99f06a9892c7d8975e797695b7532363d942112",
        ),
    ] {
        let url = format!("https://imagedelivery.net{path}");
        let mut arguments = vec!["sign", &url, "--key-value", key];
        if let Some(expires) = expires {
            arguments.extend(["--expires-at", expires]);
        }
        let expires = expires.map_or_else(String::new, |expires| format!("exp={expires}&"));
        let signed = program.run(&arguments).text();
        assert_eq!(signed, format!("{url}?{expires}sig={signature}\n"));
    }
}

#[test]
fn a_bare_path_and_a_lifetime_will_do() {
    let arguments = ["sign", PATH, "--key-value", FIRST, "--expires-in", "1h"];
    let signed = Program::new().run(&arguments).text();
    assert!(signed.starts_with(&format!("{PATH}?exp=")), "{signed}");
}

#[test]
fn what_cannot_be_signed_is_wrong_usage() {
    let program = Program::new();
    for url in [
        "https://a.example",
        "no/slash",
        "/h/i/v?width=3",
        "/h/i j/v",
    ] {
        program.run(&["sign", url, "--key-value", FIRST]).error(2);
    }
    let both = [
        "sign",
        PATH,
        "--key-value",
        FIRST,
        "--expires-in",
        "1h",
        "--expires-at",
        "9",
    ];
    program.run(&both).error(2);
    program
        .run(&["sign", PATH, "--key-value", FIRST, "--expires-in", "9"])
        .error(2);
}

#[test]
fn what_was_signed_verifies_with_its_key_alone() {
    let program = Program::new();
    let prefixed = format!("https://a.example/cdn-cgi/imagedelivery{PATH}");
    for (url, expires) in [(PATH, None), (&prefixed, Some("4102444800"))] {
        let mut arguments = vec!["sign", url, "--key-value", FIRST];
        arguments.extend(expires.iter().flat_map(|at| ["--expires-at", *at]));
        let signed = program.run(&arguments).text();
        let signed = signed.trim_end();
        let valid = ["verify", signed, "--key-value", FIRST, "--json"];
        let json = &program.run(&valid).json()[0];
        assert_eq!(json["valid"], true);
        assert_eq!(
            json["expires"].as_i64(),
            expires.map(|at| at.parse().unwrap())
        );
        let other = ["verify", signed, "--key-value", SECOND];
        assert!(program.run(&other).error(1).contains("does not match"));
    }
}

#[test]
fn what_a_signature_covers_is_explained() {
    let program = Program::new();
    let url = format!("https://a.example{PATH}?exp=1631289275&sig=00");
    let arguments = ["verify", &url, "--key-value", FIRST, "--explain"];
    let told = program.run(&arguments).error(1);
    assert!(
        told.contains(&format!("signing    {PATH}?exp=1631289275\n")),
        "{told}"
    );
    assert!(told.contains("4a945ec9a055446656215c67c2da4520d873a984d8f15ad197017cd8357b427e"));
    assert!(
        told.contains("error: The URL signature has expired"),
        "{told}"
    );
    let unsigned = ["verify", PATH, "--key-value", FIRST];
    assert!(
        program
            .run(&unsigned)
            .error(1)
            .contains("requires a signed URL")
    );
    program
        .run(&["verify", "https://a.example", "--key-value", FIRST])
        .error(2);
}
