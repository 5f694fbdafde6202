//! TLS to a real PostgreSQL: whom it takes for the database, and that it does not go without.

use std::error::Error as _;
use std::path::Path;

use futures_util::future::join_all;
use store::{Error, Postgres, PostgresUrl, Vault};

use crate::authority::Authority;
use crate::postgres::{self, Postgres as Server};

async fn open(url: &str) -> Result<Postgres, Error> {
    let url = PostgresUrl::parse(url).unwrap();
    Postgres::open(&url, 2, Vault::from_key([7; 32])).await
}

/// The refusal with its causes, as a command prints it.
async fn refusal(url: &str) -> String {
    let Err(error) = open(url).await else {
        panic!("{url} is accepted");
    };
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn roots(path: &Path) -> String {
    format!("sslrootcert={}", path.display())
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_a_certificate_is_judged_as_sslmode_says() {
    let (Some(ours), Some(theirs)) = (Authority::new_or_skip(), Authority::new_or_skip()) else {
        return;
    };
    let certificate = ours.vouch_for("DNS:db.test");
    let Some(server) = Server::start_with_tls_or_skip(&certificate) else {
        return;
    };
    let database = server.create();
    let url = |host: &str, parameters: &str| {
        let named = database.replace("@127.0.0.1:", &format!("@{host}:"));
        format!("{named}?hostaddr=127.0.0.1&{parameters}")
    };
    let (ours, theirs) = (roots(&ours.certificate()), roots(&theirs.certificate()));

    for (host, parameters) in [
        ("db.test", String::new()),
        ("db.test", "sslmode=require".to_owned()),
        ("other.test", "sslmode=require".to_owned()),
        ("other.test", format!("sslmode=require&{ours}")),
        ("other.test", format!("sslmode=verify-ca&{ours}")),
        ("db.test", format!("sslmode=verify-full&{ours}")),
    ] {
        let url = url(host, &parameters);
        let opened = open(&url).await;
        opened.unwrap_or_else(|error| panic!("{url}: {error:?}"));
    }

    let cases = [
        ("other.test", format!("sslmode=verify-full&{ours}"), "name"),
        ("127.0.0.1", format!("sslmode=verify-full&{ours}"), "name"),
        ("db.test", format!("sslmode=require&{theirs}"), "Issuer"),
        ("db.test", format!("sslmode=verify-ca&{theirs}"), "Issuer"),
        ("db.test", format!("sslmode=verify-full&{theirs}"), "Issuer"),
        // The system does not know our authority.
        ("db.test", "sslmode=verify-ca".to_owned(), "certificate"),
        ("db.test", "sslmode=verify-full".to_owned(), "certificate"),
        ("db.test", "sslrootcert=system".to_owned(), "certificate"),
        ("db.test", "sslmode=disable".to_owned(), "no encryption"),
        (
            "db.test",
            "sslmode=verify-full&sslrootcert=/nowhere.pem".to_owned(),
            "/nowhere.pem",
        ),
    ];
    join_all(cases.iter().map(async |(host, parameters, part)| {
        let refused = refusal(&url(host, parameters)).await;
        assert!(refused.contains(part), "{host} {parameters}: {refused}");
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_what_must_be_encrypted_is_not_sent_without() {
    let Some(database) = postgres::database() else {
        return;
    };
    for mode in ["require", "verify-ca", "verify-full"] {
        let refused = refusal(&format!("{database}?sslmode={mode}")).await;
        assert!(refused.contains("does not support TLS"), "{refused}");
    }
    for mode in ["prefer", "disable"] {
        let opened = open(&format!("{database}?sslmode={mode}")).await;
        opened.unwrap_or_else(|error| panic!("{mode}: {error:?}"));
    }
}
