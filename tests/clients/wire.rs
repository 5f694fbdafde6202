//! The bytes of clients which cannot be run here, or which send them in certain versions only:
//! Terraform's provider, wrangler, plugins and older SDKs.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::picture::gif;
use crate::server::{ACCOUNT_HASH, ACCOUNT_ID, API_TOKEN, Server};

const V1: &str = "/client/v4/accounts/0123456789abcdef0123456789abcdef/images/v1";
const DIRECT_UPLOAD: &str =
    "/client/v4/accounts/0123456789abcdef0123456789abcdef/images/v2/direct_upload";

#[test]
fn a_form_of_only_the_closing_delimiter_is_empty() {
    let server = Server::start();
    // TypeScript and Python; Go; and with a line end after it.
    for body in ["--xyz--", "\r\n--xyz--\r\n", "--xyz--\r\n"] {
        let answer = Request::post(DIRECT_UPLOAD).form("xyz", body).send(&server);
        assert_eq!(answer.status, 200, "{body:?}: {}", answer.body);
        assert_eq!(text(&answer.json["result"]["id"]).len(), 36);
    }
}

#[test]
fn a_direct_upload_needs_no_body_and_no_type() {
    let server = Server::start();
    for headers in ["Content-Length: 0\r\n", ""] {
        let answer = Request::post(DIRECT_UPLOAD).headers(headers).send(&server);
        assert_eq!(answer.status, 200, "{headers:?}: {}", answer.body);
        let url = text(&answer.json["result"]["uploadURL"]);
        assert!(
            url.starts_with(&format!("{}/upload/{ACCOUNT_HASH}/", server.url())),
            "{url}"
        );
    }
}

#[test]
fn a_json_direct_upload_is_version_one_only() {
    let server = Server::start();
    let typed = "Content-Type: application/json\r\n";
    let refused = Request::post(DIRECT_UPLOAD)
        .headers(typed)
        .body(b"{}")
        .send(&server);
    assert_eq!(
        (refused.status, refused.code()),
        (415, 5415),
        "{}",
        refused.body
    );
    let accepted = Request::post(&format!("{V1}/direct_upload"))
        .headers(typed)
        .body(br#"{"metadata":{"k":"v"}}"#)
        .send(&server);
    assert_eq!(accepted.status, 200, "{}", accepted.body);
}

#[test]
fn terraform_creates_an_image_from_text() {
    let server = Server::start();
    let svg = r#"<svg xmlns="http://www.w3.org/2000/svg" width="8" height="6"><path d="M0 0h8v6"/></svg>"#;
    let typed = r#"name="metadata"|application/json"#;
    let body = form(&[
        (r#"name="creator""#, "ann"),
        (r#"name="file""#, svg),
        (r#"name="id""#, "logo"),
        (typed, r#"{"hello": "world"}"#),
        (r#"name="requireSignedURLs""#, "false"),
    ]);
    let answer = Request::post(V1).form(BOUNDARY, &body).send(&server);
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.json["result"]["meta"], json!({"hello": "world"}));
    assert_eq!(answer.json["result"]["creator"], "ann");

    let blob = Request::get(&format!("{V1}/logo/blob")).send(&server);
    assert_eq!(blob.body, svg);
    assert!(
        blob.header("content-type").starts_with("image/svg+xml"),
        "{blob:?}"
    );
}

#[test]
fn terraforms_empty_metadata_part_means_not_given() {
    let server = Server::start();
    let empty = (r#"name="metadata"|application/json"#, "");
    let body = form(&[(r#"name="file""#, SVG), (r#"name="id""#, "plain"), empty]);
    let answer = Request::post(V1).form(BOUNDARY, &body).send(&server);
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(
        matches!(
            &answer.json["result"]["meta"],
            Value::Null | Value::Object(_)
        ),
        "{}",
        answer.body
    );

    let patch = |fields: &[(&str, &str)]| {
        Request::new("PATCH", &format!("{V1}/plain"))
            .form(BOUNDARY, &form(fields))
            .send(&server)
    };
    // An update repeats what made the image; it must be neither fetched nor stored again.
    let set = patch(&[
        (r#"name="creator""#, "bob"),
        (r#"name="id""#, "plain"),
        (r#"name="metadata"|application/json"#, r#"{"n":1}"#),
        (r#"name="url""#, "http://127.0.0.1:9/gone.png"),
    ]);
    assert_eq!(set.status, 200, "{}", set.body);
    assert_eq!(set.json["result"]["meta"], json!({"n": 1}));
    assert_eq!(set.json["result"]["creator"], "bob");
    let unset = patch(&[(r#"name="id""#, "plain"), empty]);
    assert_eq!(unset.status, 200, "{}", unset.body);
    assert_eq!(unset.json["result"]["meta"], json!({"n": 1}));
    assert_eq!(unset.json["result"]["creator"], "bob");
}

#[test]
fn terraform_changes_one_option_of_a_variant() {
    let server = Server::start();
    let call = |method: &str, path: &str, body: &Value| {
        Request::new(method, &format!("{V1}/variants{path}"))
            .headers("Content-Type: application/json\r\n")
            .body(body.to_string().as_bytes())
            .send(&server)
    };
    let options = json!({"fit": "cover", "height": 10, "metadata": "none", "width": 20});
    let made = call("POST", "", &json!({"id": "hero", "options": options}));
    assert_eq!(made.status, 200, "{}", made.body);
    let merged = json!({"fit": "cover", "height": 10, "metadata": "none", "width": 30});
    let changed = call("PATCH", "/hero", &json!({"options": {"width": 30}}));
    assert_eq!(changed.status, 200, "{}", changed.body);
    assert_eq!(changed.json["result"]["variant"]["options"], merged);
    let unchanged = call("PATCH", "/hero", &json!({}));
    assert_eq!(unchanged.status, 200, "{}", unchanged.body);
    assert_eq!(unchanged.json["result"]["variant"]["options"], merged);
}

#[test]
fn fields_come_in_any_order_and_a_file_needs_no_name() {
    let server = Server::start();
    // Payload sends no file name, Django no content type.
    for (id, file) in [
        ("payload", r#"name="file"|image/svg+xml"#),
        ("django", r#"name="file"; filename="a.svg""#),
        ("neither", r#"name="file""#),
    ] {
        let first = form(&[
            (file, SVG),
            (r#"name="metadata[k]""#, "v"),
            (r#"name="id""#, id),
        ]);
        let answer = Request::post(V1).form(BOUNDARY, &first).send(&server);
        assert_eq!(answer.status, 200, "{file}: {}", answer.body);
        assert_eq!(answer.json["result"]["id"], id);
        assert_eq!(answer.json["result"]["meta"], json!({"k": "v"}));
    }
}

#[test]
fn boundaries_may_be_unusual() {
    let server = Server::start();
    let long = "b".repeat(70);
    for (boundary, quoted) in [
        ("--------------------------176772312014405489191966", false),
        ("a'b()+_,-./:=?c d", true),
        (long.as_str(), false),
    ] {
        let body = form(&[(r#"name="file""#, SVG)]).replace(BOUNDARY, boundary);
        let parameter = if quoted {
            format!("\"{boundary}\"")
        } else {
            boundary.to_owned()
        };
        let answer = Request::post(V1)
            .headers(&format!(
                "Content-Type: multipart/form-data; boundary={parameter}\r\n"
            ))
            .body(body.as_bytes())
            .send(&server);
        assert_eq!(answer.status, 200, "{boundary}: {}", answer.body);
    }
}

#[test]
fn a_body_may_come_in_chunks() {
    let server = Server::start();
    let picture = gif(&[7; 3000]);
    let body = upload_form(Some("chunked"), &picture);
    let mut chunked = Vec::new();
    for piece in body.chunks(701) {
        write!(chunked, "{:x}\r\n", piece.len()).expect("memory");
        chunked.extend(piece);
        chunked.extend(b"\r\n");
    }
    chunked.extend(b"0\r\n\r\n");
    let answer = Request::post(V1)
        .headers(&format!(
            "Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\
             Transfer-Encoding: chunked\r\n"
        ))
        .body_as_it_is(&chunked)
        .send(&server);
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.json["result"]["id"], "chunked");
    let blob = Request::get(&format!("{V1}/chunked/blob")).send(&server);
    assert_eq!(blob.bytes, picture);
}

#[test]
fn a_refused_upload_is_read_to_its_end() {
    let server = Server::start();
    let small = upload_form(None, &gif(&vec![1; 6 << 20]));
    let large = upload_form(None, &gif(&vec![1; 16 << 20]));
    for (token, body, status, code) in [
        ("wrong", small, 401, 10000),
        ("wrong", large.clone(), 401, 10000),
        (API_TOKEN, large, 413, 5413),
    ] {
        let answer = Request::post(V1)
            .token(token)
            .form_bytes(BOUNDARY, &body)
            .send(&server);
        assert_eq!(
            (answer.status, answer.code()),
            (status, code),
            "{}",
            answer.body
        );
    }
}

#[test]
fn typescript_five_leaves_slashes_and_percent_signs_raw() {
    let server = Server::start();
    let id = "a/b c%é";
    assert_eq!(upload_tiny(&server, Some(id)), id);
    for path in ["a/b%20c%%C3%A9", "a%2Fb%20c%25%C3%A9"] {
        let found = Request::get(&format!("{V1}/{path}")).send(&server);
        assert_eq!(found.status, 200, "{path}: {}", found.body);
        assert_eq!(found.json["result"]["id"], id);
        let blob = Request::get(&format!("{V1}/{path}/blob")).send(&server);
        assert_eq!(blob.bytes, gif(id.as_bytes()), "{path}");
    }
}

#[test]
fn wrangler_finds_out_who_it_is() {
    let server = Server::start();
    let get = |path: &str| Request::get(&format!("/client/v4{path}")).send(&server);
    let token = get("/user/tokens/verify");
    assert_eq!(token.status, 200, "{}", token.body);
    assert_eq!(token.json["result"]["status"], "active");
    assert_eq!(text(&token.json["result"]["id"]).len(), 32);

    let user = get("/user");
    assert!(
        user.status == 200 && user.json["result"]["email"].is_string() || user.code() == 9109,
        "{}",
        user.body
    );
    let memberships = get("/memberships?page=1");
    assert!(
        memberships.status == 200 && memberships.json["result"].is_array()
            || memberships.code() == 9109,
        "{}",
        memberships.body
    );
    let accounts = get("/accounts?page=1");
    assert_eq!(accounts.status, 200, "{}", accounts.body);
    assert_eq!(accounts.json["result"][0]["id"], ACCOUNT_ID);
    assert!(
        accounts.json["result"][0]["name"].is_string(),
        "{}",
        accounts.body
    );
}

#[test]
fn every_refusal_is_an_envelope() {
    let server = Server::start();
    let strange = "/client/v4/accounts/0123456789abcdef0123456789abcdef/imagery";
    for (request, status, code) in [
        (Request::get(strange), 404, 7003),
        (
            Request::get("/client/v4/accounts/short/images/v1"),
            404,
            7003,
        ),
        (
            Request::get(&format!("{V1}/stats")).token("wrong"),
            401,
            10000,
        ),
        (Request::get(&format!("{V1}/stats")).no_token(), 400, 9106),
        (Request::get(&format!("{V1}/none")), 404, 5404),
        (
            Request::new("PUT", V1).headers("Content-Length: 0\r\n"),
            405,
            10000,
        ),
        (Request::post(V1).body(b"raw"), 415, 5415),
    ] {
        let answer = request.send(&server);
        assert_eq!(
            (answer.status, answer.code()),
            (status, code),
            "{}",
            answer.body
        );
        assert!(
            answer
                .header("content-type")
                .starts_with("application/json")
        );
        assert_eq!(answer.json["success"], false);
        assert_eq!(answer.json["result"], Value::Null);
        assert!(answer.json["messages"].is_array(), "{}", answer.body);
    }
}

#[test]
fn a_missing_image_says_not_found_in_small_letters() {
    let server = Server::start();
    let answer = Request::new("DELETE", &format!("{V1}/raw/slash/id")).send(&server);
    assert_eq!(answer.status, 404);
    // Payload takes this for a success.
    assert!(text(&answer.json["errors"][0]["message"]).contains("not found"));
}

#[test]
fn the_batch_token_opens_the_batch_addresses_alone() {
    let server = Server::start();
    let answer = Request::get(&format!("{V1}/batch_token")).send(&server);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let token = text(&answer.json["result"]["token"]).to_owned();

    let body = upload_form(Some("by batch"), &gif(b"batch"));
    let made = Request::post("/batch/images/v1")
        .token(&token)
        .form_bytes(BOUNDARY, &body)
        .send(&server);
    assert_eq!(made.status, 200, "{}", made.body);
    let by_host = Request::get("/images/v2")
        .host("batch.imagedelivery.net")
        .token(&token)
        .send(&server);
    assert_eq!(by_host.status, 200, "{}", by_host.body);
    assert_eq!(by_host.json["result"]["images"][0]["id"], "by batch");

    let elsewhere = Request::get(V1).token(&token).send(&server);
    assert_eq!(elsewhere.code(), 10000, "{}", elsewhere.body);
    let api_token = Request::get("/batch/images/v2").send(&server);
    assert_eq!(api_token.code(), 10000, "{}", api_token.body);
}

#[test]
fn a_one_time_upload_is_found_by_its_host() {
    let server = Server::start();
    let draft = Request::post(DIRECT_UPLOAD)
        .form(BOUNDARY, &form(&[(r#"name="id""#, "a/b")]))
        .send(&server);
    assert_eq!(draft.status, 200, "{}", draft.body);
    let body = upload_form(None, &gif(b"direct"));
    let sent = Request::post(&format!("/{ACCOUNT_HASH}/a%2Fb"))
        .host("upload.imagedelivery.net")
        .no_token()
        .form_bytes(BOUNDARY, &body)
        .send(&server);
    assert_eq!(sent.status, 200, "{}", sent.body);
    assert_eq!(sent.header("access-control-allow-origin"), "*");
    assert_eq!(sent.json["result"]["id"], "a/b");
}

/// Stores a small picture and answers its id.
pub(crate) fn upload_tiny(server: &Server, id: Option<&str>) -> String {
    let picture = gif(id.unwrap_or_default().as_bytes());
    let answer = Request::post(V1)
        .form_bytes(BOUNDARY, &upload_form(id, &picture))
        .send(server);
    assert_eq!(answer.status, 200, "{}", answer.body);
    text(&answer.json["result"]["id"]).to_owned()
}

const BOUNDARY: &str = "boundary-of-the-tests";
const SVG: &str = r#"<svg xmlns="http://www.w3.org/2000/svg" width="8" height="6"/>"#;

/// A form of text parts: what follows `form-data; `, then perhaps `|` and a content type.
fn form(parts: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for (disposition, value) in parts {
        let (disposition, media_type) = disposition.split_once('|').unwrap_or((disposition, ""));
        write!(
            out,
            "--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n"
        )
        .expect("memory");
        if !media_type.is_empty() {
            write!(out, "Content-Type: {media_type}\r\n").expect("memory");
        }
        write!(out, "\r\n{value}\r\n").expect("memory");
    }
    write!(out, "--{BOUNDARY}--\r\n").expect("memory");
    out
}

/// A form with a picture in it.
fn upload_form(id: Option<&str>, picture: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some(id) = id {
        write!(
            out,
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"id\"\r\n\r\n{id}\r\n"
        )
        .expect("memory");
    }
    write!(
        out,
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.gif\"\r\n\r\n"
    )
    .expect("memory");
    out.extend(picture);
    write!(out, "\r\n--{BOUNDARY}--\r\n").expect("memory");
    out
}

/// The text in a JSON value.
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

/// A request as it goes over the wire: nothing is added which is not said here.
struct Request {
    line: String,
    host: String,
    token: Option<String>,
    headers: String,
    body: Vec<u8>,
}

impl Request {
    fn new(method: &str, path: &str) -> Self {
        Self {
            line: format!("{method} {path} HTTP/1.1"),
            host: "localhost".to_owned(),
            token: Some(API_TOKEN.to_owned()),
            headers: String::new(),
            body: Vec::new(),
        }
    }

    fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    fn post(path: &str) -> Self {
        Self::new("POST", path)
    }

    fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    fn token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    fn no_token(mut self) -> Self {
        self.token = None;
        self
    }

    /// Adds header lines, each with its line end.
    fn headers(mut self, lines: &str) -> Self {
        self.headers.push_str(lines);
        self
    }

    /// Adds a body and its length.
    fn body(self, body: &[u8]) -> Self {
        self.headers(&format!("Content-Length: {}\r\n", body.len()))
            .body_as_it_is(body)
    }

    /// Adds a body without a header which tells its length.
    fn body_as_it_is(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self
    }

    fn form(self, boundary: &str, body: &str) -> Self {
        self.form_bytes(boundary, body.as_bytes())
    }

    fn form_bytes(self, boundary: &str, body: &[u8]) -> Self {
        self.headers(&format!(
            "Content-Type: multipart/form-data; boundary={boundary}\r\n"
        ))
        .body(body)
    }

    fn send(self, server: &Server) -> Answer {
        let mut stream = TcpStream::connect(server.address()).expect("the server listens");
        stream
            .set_read_timeout(Some(Duration::from_mins(1)))
            .expect("a valid time");
        let mut head = format!(
            "{}\r\nHost: {}\r\nConnection: close\r\n{}",
            self.line, self.host, self.headers
        );
        if let Some(token) = &self.token {
            write!(head, "Authorization: Bearer {token}\r\n").expect("memory");
        }
        head.push_str("\r\n");
        stream
            .write_all(head.as_bytes())
            .expect("the head is taken");
        stream
            .write_all(&self.body)
            .expect("the body is read to its end");
        let mut raw = Vec::new();
        stream.read_to_end(&mut raw).expect("an answer");
        Answer::parse(&raw)
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    bytes: Vec<u8>,
    body: String,
    json: Value,
}

impl Answer {
    fn parse(raw: &[u8]) -> Self {
        let end = raw
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .unwrap_or_else(|| panic!("no answer: {}", String::from_utf8_lossy(raw)));
        let head = String::from_utf8_lossy(&raw[..end]).into_owned();
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .unwrap_or_else(|| panic!("no status: {head}"));
        let mut answer = Self {
            status,
            head,
            bytes: raw[end + 4..].to_vec(),
            body: String::new(),
            json: Value::Null,
        };
        if answer.header("transfer-encoding") == "chunked" {
            answer.bytes = unchunk(&answer.bytes);
        }
        answer.body = String::from_utf8_lossy(&answer.bytes).into_owned();
        answer.json = serde_json::from_slice(&answer.bytes).unwrap_or_default();
        answer
    }

    /// The value of a header, or nothing.
    fn header(&self, name: &str) -> &str {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map_or("", |(_, value)| value)
    }

    /// The code of the first error, or 0.
    fn code(&self) -> i64 {
        self.json["errors"][0]["code"].as_i64().unwrap_or_default()
    }
}

/// Puts the pieces of a chunked body together.
fn unchunk(mut rest: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let line = rest
            .windows(2)
            .position(|two| two == b"\r\n")
            .expect("a chunk size");
        let size = std::str::from_utf8(&rest[..line])
            .ok()
            .and_then(|size| usize::from_str_radix(size, 16).ok())
            .expect("a hexadecimal chunk size");
        if size == 0 {
            return out;
        }
        out.extend(&rest[line + 2..line + 2 + size]);
        rest = &rest[line + 4 + size..];
    }
}
