use crate::program::Program;

/// The size in the header of a PNG.
fn png_size(bytes: &[u8]) -> (u32, u32) {
    assert_eq!(&bytes[..8], b"\x89PNG\r\n\x1a\n");
    let number = |at: usize| {
        let bytes = bytes[at..at + 4].try_into().expect("four bytes");
        u32::from_be_bytes(bytes)
    };
    (number(16), number(20))
}

fn photo() -> Vec<u8> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pictures/photo.jpg");
    std::fs::read(path).expect("the picture is in the repository")
}

#[test]
fn a_file_becomes_another_in_the_format_of_its_name() {
    let program = Program::new();
    program.write("in.jpg", photo());
    let arguments = [
        "transform",
        "in.jpg",
        "out.png",
        "width=40,height=20,fit=cover",
        "--json",
    ];
    let report = program.run(&arguments).json().remove(0);
    let made = std::fs::read(program.folder().join("out.png")).expect("it was written");
    assert_eq!(png_size(&made), (40, 20));
    assert_eq!(
        (&report["width"], &report["height"]),
        (&40.into(), &20.into())
    );
    assert_eq!(report["format"], "image/png");
    assert_eq!(report["bytes"], made.len());
}

#[test]
fn streams_work_too_and_options_name_the_format() {
    let arguments = [
        "transform",
        "-",
        "-",
        "width=16,height=16,fit=squeeze,format=png-force",
    ];
    let ran = Program::new().run_with(&arguments, &photo());
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(png_size(&ran.stdout), (16, 16));
}

#[test]
fn options_can_be_those_of_a_worker() {
    let program = Program::new();
    program.write("in.jpg", photo());
    let options = r#"{"width":20,"height":10,"fit":"cover","border":{"color":"red","width":3}}"#;
    program
        .run(&["transform", "in.jpg", "out.png", options, "--json"])
        .json();
    let made = std::fs::read(program.folder().join("out.png")).expect("it was written");
    assert_eq!(png_size(&made), (26, 16));
}

#[test]
fn wrong_options_and_names_are_wrong_usage() {
    let program = Program::new();
    program.write("in.jpg", photo());
    for (output, options) in [
        ("out.png", "width=wide"),
        ("out.png", "width"),
        ("out.png", "nonsense=1"),
        ("out.xyz", "width=4"),
        ("out.png", "format=bmp"),
        ("out.png", r#"{"width":"20"}"#),
        ("out.png", r#"{"draw":[{"url":"a.png","text":"both"}]}"#),
        ("out.png", "{width"),
    ] {
        program
            .run(&["transform", "in.jpg", output, options])
            .error(2);
        assert!(!program.folder().join(output).exists(), "{options}");
    }
}

#[test]
fn a_file_which_is_no_picture_or_not_there_fails() {
    let program = Program::new();
    program.write("in.txt", "no picture");
    let error = program
        .run(&["transform", "in.txt", "out.png", "width=4"])
        .error(1);
    assert!(error.contains("not an image"), "{error}");
    let error = program.run(&["transform", "none.jpg", "out.png"]).error(1);
    assert!(error.contains("none.jpg cannot be read"), "{error}");
}

#[test]
fn the_limits_of_the_settings_hold() {
    let program = Program::new();
    program.write("in.jpg", photo());
    let arguments = [
        "transform",
        "in.jpg",
        "out.png",
        "width=4",
        "--side-max",
        "8",
    ];
    let error = program.run(&arguments).error(1);
    assert!(error.contains("too large"), "{error}");
}

#[test]
fn many_files_go_into_a_folder() {
    let program = Program::new();
    for name in ["a.jpg", "b.JPEG", "c.jpg"] {
        program.write(name, photo());
    }
    program.write("d.jpg", "no picture");
    let mut arguments = vec!["transform", "--into", "small", "--json"];
    arguments.extend(["--options", "width=24,height=24,fit=cover,format=png-force"]);
    arguments.extend(["a.jpg", "b.JPEG", "c.jpg"]);
    let mut made: Vec<_> = program
        .run(&arguments)
        .json()
        .into_iter()
        .map(|item| item["output"].to_string())
        .collect();
    made.sort();
    let expected = [r#""small/a.png""#, r#""small/b.png""#, r#""small/c.png""#];
    assert_eq!(made, expected);
    for name in ["a.png", "b.png", "c.png"] {
        let bytes = std::fs::read(program.folder().join("small").join(name)).expect("written");
        assert_eq!(png_size(&bytes), (24, 24));
    }

    // What fails is told, and the rest is made.
    let error = program
        .run(&["transform", "--into", "more", "d.jpg", "a.jpg", "none.jpg"])
        .error(1);
    assert!(error.contains("2 of 3 failed"), "{error}");
    assert!(error.contains("d.jpg: the file is not an image"), "{error}");
    assert!(error.contains("none.jpg cannot be read"), "{error}");
    assert!(program.folder().join("more/a.jpg").exists());
}

#[test]
fn nothing_is_replaced_in_a_folder() {
    let program = Program::new();
    program.write("a.jpg", photo());
    let error = program.run(&["transform", "--into", ".", "a.jpg"]).error(1);
    assert!(error.contains("would replace its input"), "{error}");
    assert_eq!(
        std::fs::read(program.folder().join("a.jpg")).expect("there"),
        photo()
    );
    let error = program
        .run(&["transform", "--into", "out", "a.jpg", "./a.jpg"])
        .error(1);
    assert!(error.contains("was made of another input"), "{error}");
}
