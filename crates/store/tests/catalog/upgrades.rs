//! Databases as each version of the schema has left them, brought up to date.
//!
//! What is in them is written by the program as it is now and taken over into the tables and columns which
//! there were.

use std::path::Path;

use futures_util::future::join_all;
use rusqlite::Connection;
use store::catalog::{Portable, Reading, Record};
use store::{Catalog as _, Sqlite, Vault};

use crate::nodes::{execute, node};
use crate::postgres;
use crate::records::{Random, all, fill};

/// The steps of a schema, oldest first.
fn migrations(backend: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let files = std::fs::read_dir(folder.join(backend)).unwrap();
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    let texts = paths.iter().map(std::fs::read_to_string);
    texts.map(Result::unwrap).collect()
}

/// What of these records a database of this version can hold.
fn known_to(version: usize, records: &[Record]) -> Vec<Record> {
    let mut records = records.to_vec();
    for record in &mut records {
        let Record::Account(account) = record else {
            continue;
        };
        if version < 3 {
            account.account.config.zones = model::ZoneConfigs::default();
        }
        if version < 4 {
            account.webhooks.clear();
            account.policies.clear();
            account.pending.clear();
        }
        if version < 5 {
            account.import_sources.clear();
        }
    }
    records
}

/// Everything is there, and everything goes on.
async fn assert_upgraded(version: usize, before: &[Record], catalog: &dyn Portable) {
    let found = all(catalog, Reading::AtOneMoment).await;
    assert_eq!(found, known_to(version, before), "version {version}");
    assert_eq!(catalog.incoming().await.unwrap(), None);
    assert!(!catalog.is_closed().await.unwrap());
    fill(catalog, &mut Random::new()).await;
    let more = all(catalog, Reading::AtOneMoment).await;
    assert!(more.len() >= found.len() + 3, "version {version}");
    assert!(found.iter().all(|record| more.contains(record)));
}

/// Takes over all that the tables of `main` have a place for.
const TAKE_OVER_SQLITE: &str =
    "SELECT format('INSERT INTO main.%s (%s) SELECT %s FROM newest.%s;', name, columns, columns, name)
     FROM (
         SELECT name, (SELECT group_concat(name) FROM pragma_table_info(main.sqlite_schema.name)) AS columns
         FROM main.sqlite_schema WHERE type = 'table'
     )";

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_any_version_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let open = async |path: &Path| Sqlite::open(path, Vault::from_key([7; 32])).await.unwrap();
    let newest = folder.path().join("newest");
    let catalog = open(&newest).await;
    fill(&catalog, &mut Random::new()).await;
    let before = all(&catalog, Reading::AtOneMoment).await;
    catalog.close().await.unwrap();
    let migrations = migrations("sqlite");
    for version in 1..=migrations.len() {
        let path = folder.path().join(version.to_string());
        let old = Connection::open(&path).unwrap();
        old.execute_batch(&migrations[..version].concat()).unwrap();
        old.pragma_update(None, "foreign_keys", false).unwrap();
        old.execute("ATTACH ?1 AS newest", [newest.to_str()])
            .unwrap();
        let mut statement = old.prepare(TAKE_OVER_SQLITE).unwrap();
        let texts = statement.query_map((), |row| row.get(0)).unwrap();
        let texts: Vec<String> = texts.map(Result::unwrap).collect();
        drop(statement);
        old.execute_batch(&texts.concat()).unwrap();
        old.pragma_update(None, "user_version", version as i64)
            .unwrap();
        drop(old);
        assert_upgraded(version, &before, &open(&path).await).await;
    }
}

/// Takes over all that the tables of `public` have a place for, and the numbers of their next rows.
const TAKE_OVER_POSTGRES: &str = "
    SET session_replication_role = replica;
    DO $$
    DECLARE
        old RECORD;
        last BIGINT;
    BEGIN
        FOR old IN
            SELECT table_name, string_agg(quote_ident(column_name), ', ') AS columns,
                max(column_name) FILTER (WHERE is_identity = 'YES') AS number
            FROM information_schema.columns WHERE table_schema = 'public' GROUP BY table_name
        LOOP
            EXECUTE format(
                'INSERT INTO public.%1$I (%2$s) OVERRIDING SYSTEM VALUE SELECT %2$s FROM newest.%1$I',
                old.table_name, old.columns
            );
            IF old.number IS NOT NULL THEN
                EXECUTE format('SELECT max(%I) FROM public.%I', old.number, old.table_name) INTO last;
                PERFORM setval(pg_get_serial_sequence('public.' || old.table_name, old.number), last)
                    WHERE last IS NOT NULL;
            END IF;
        END LOOP;
    END $$;";

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_a_database_of_any_version_is_brought_up_to_date() {
    let migrations = migrations("postgres");
    for version in 1..=migrations.len() {
        let Some(url) = postgres::database() else {
            return;
        };
        let catalog = node(&url).await;
        fill(&catalog, &mut Random::new()).await;
        let before = all(&catalog, Reading::AtOneMoment).await;
        catalog.close().await.unwrap();
        drop(catalog);
        execute(
            &url,
            "ALTER SCHEMA public RENAME TO newest; CREATE SCHEMA public",
        )
        .await;
        execute(&url, &migrations[..version].concat()).await;
        execute(&url, TAKE_OVER_POSTGRES).await;
        let versioned = format!(
            "CREATE TABLE schema_version (version BIGINT NOT NULL);
             INSERT INTO schema_version VALUES ({version});
             DROP SCHEMA newest CASCADE"
        );
        execute(&url, &versioned).await;
        // Several nodes at once, one of which does it.
        let nodes = join_all((0..4).map(|_| node(&url))).await;
        for node in &nodes {
            let found = all(node, Reading::AtOneMoment).await;
            assert_eq!(found, known_to(version, &before), "version {version}");
        }
        assert_upgraded(version, &before, &nodes[0]).await;
    }
}
