//! TLS by the real program: its protocols, its certificate and clients which never finish a handshake.

#[path = "support/server.rs"]
mod server;
#[path = "support/until.rs"]
mod until;

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;

use reqwest::{Certificate, Client, StatusCode, Version};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use server::{API_TOKEN, Server, Settings};
use until::until;

/// Two certificates for `calotype.test`, each signed by itself, and their keys.
const ONE: [&str; 2] = [
    include_str!("certificates/one.pem"),
    include_str!("certificates/one.key"),
];
const TWO: [&str; 2] = [
    include_str!("certificates/two.pem"),
    include_str!("certificates/two.key"),
];

fn write(folder: &Path, [certificate, key]: [&str; 2]) {
    std::fs::write(folder.join("a.pem"), certificate).expect("a file");
    std::fs::write(folder.join("a.key"), key).expect("a file");
}

fn free_address() -> SocketAddr {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    free.local_addr().expect("it is bound")
}

fn start(folder: &Path, address: SocketAddr) -> Server {
    let path = |name: &str| folder.join(name).display().to_string();
    Settings::new()
        .set("tls-listen", &address.to_string())
        .set("tls-certificate", &path("a.pem"))
        .set("tls-key", &path("a.key"))
        .set("header-timeout", "500ms")
        .start()
}

/// A client which trusts one certificate alone.
fn client(address: SocketAddr, certificate: &str, http1: bool) -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let certificate = Certificate::from_pem(certificate.as_bytes()).expect("a certificate");
    let builder = Client::builder()
        .tls_certs_only([certificate])
        .resolve("calotype.test", address)
        .no_proxy();
    let builder = if http1 { builder.http1_only() } else { builder };
    builder.build().expect("a client")
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_served_with_tls_in_both_versions() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write(folder.path(), ONE);
    let address = free_address();
    let server = start(folder.path(), address);
    let base = format!("https://calotype.test:{}", address.port());
    for (http1, version) in [(false, Version::HTTP_2), (true, Version::HTTP_11)] {
        let client = client(address, ONE[0], http1);
        let live = client
            .get(format!("{base}/livez"))
            .send()
            .await
            .expect("an answer");
        assert_eq!((live.status(), live.version()), (StatusCode::OK, version));
        let verify = client.get(format!("{base}/client/v4/user/tokens/verify"));
        let verify = verify
            .bearer_auth(API_TOKEN)
            .send()
            .await
            .expect("an answer");
        assert_eq!(verify.status(), StatusCode::OK);
    }
    let stranger = client(address, TWO[0], false);
    assert!(stranger.get(format!("{base}/livez")).send().await.is_err());
    let plain = reqwest::get(format!("{}/livez", server.url())).await;
    assert_eq!(plain.expect("an answer").status(), StatusCode::OK);
    assert!(server.terminate().success());
}

/// A renewed certificate is taken without a restart, and a broken one is not.
#[tokio::test(flavor = "multi_thread")]
async fn sighup_reads_the_certificate_again() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write(folder.path(), ONE);
    let address = free_address();
    let server = start(folder.path(), address);
    let url = format!("https://calotype.test:{}/livez", address.port());
    let opens = async |certificate: &str| {
        let answer = client(address, certificate, false).get(&url).send().await;
        answer.is_ok_and(|answer| answer.status() == StatusCode::OK)
    };
    assert!(opens(ONE[0]).await);
    write(folder.path(), [TWO[0], "no key"]);
    server.hang_up();
    assert!(opens(ONE[0]).await, "what cannot be used is not used");
    write(folder.path(), TWO);
    server.hang_up();
    until(async || opens(TWO[0]).await).await;
    assert!(!opens(ONE[0]).await);
    let log = server.terminate_for_log();
    assert!(log.contains("the certificate stays as it was"), "{log}");
}

#[test]
fn a_handshake_which_is_never_finished_ends() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write(folder.path(), ONE);
    let address = free_address();
    let _server = start(folder.path(), address);
    for said in [&b""[..], b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n"] {
        let mut stream = TcpStream::connect(address).expect("the server listens");
        std::io::Write::write_all(&mut stream, said).expect("the server reads");
        // Ends because the server closes.
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert!(!rest.starts_with(b"HTTP"), "{rest:?}");
    }
}

/// One which has shaken hands must say something as well.
#[tokio::test]
async fn who_says_nothing_after_the_handshake_is_closed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write(folder.path(), ONE);
    let address = free_address();
    let _server = start(folder.path(), address);
    let mut roots = rustls::RootCertStore::empty();
    let certificate = CertificateDer::from_pem_slice(ONE[0].as_bytes()).expect("a certificate");
    roots.add(certificate).expect("it can vouch");
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the usual versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    for said in [&b""[..], b"PRI * HTTP/2.0"] {
        let stream = tokio::net::TcpStream::connect(address)
            .await
            .expect("it listens");
        let name = "calotype.test".try_into().expect("a name");
        let mut stream = connector.connect(name, stream).await.expect("a handshake");
        stream.write_all(said).await.expect("the server reads");
        let mut rest = Vec::new();
        // Ends because the server closes.
        let _ = stream.read_to_end(&mut rest).await;
        assert_eq!(rest, b"");
    }
}

#[test]
fn half_a_setting_or_a_wrong_file_is_refused_at_the_start() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write(folder.path(), [ONE[0], TWO[1]]);
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (pem, key, data) = (path("a.pem"), path("a.key"), path("data"));
    for (flags, words) in [
        (vec!["--tls-listen", "127.0.0.1:0"], "need each other"),
        (
            vec!["--tls-key", &key, "--tls-certificate", &pem],
            "need each other",
        ),
        (
            vec![
                "--tls-listen",
                "127.0.0.1:0",
                "--tls-key",
                &key,
                "--tls-certificate",
                &key,
            ],
            "cannot be read as PEM",
        ),
        (
            vec![
                "--tls-listen",
                "127.0.0.1:0",
                "--tls-key",
                &data,
                "--tls-certificate",
                &pem,
            ],
            "cannot be read as PEM",
        ),
        (
            vec![
                "--tls-listen",
                "127.0.0.1:0",
                "--tls-key",
                &key,
                "--tls-certificate",
                &pem,
            ],
            "cannot be used",
        ),
    ] {
        let ran = server::program()
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir", &data])
            .args(&flags)
            .output()
            .expect("the built program starts");
        assert_eq!(ran.status.code(), Some(1), "{flags:?}");
        let error = String::from_utf8_lossy(&ran.stderr);
        assert!(error.contains(words), "{flags:?}: {error}");
    }
}
