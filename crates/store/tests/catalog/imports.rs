use std::time::Duration;

use model::{
    AccountId, BlobKey, Image, ImportBucket, ImportCounts, ImportEntry, ImportJob, ImportOutcome,
    ImportSource, ImportState, ImportedObject, OpaqueId, Timestamp,
};
use store::catalog::{ClaimedImport, ImportStep};
use store::{Catalog, Error};

use crate::fixtures::{LATE, at, blob, id, image, new_account, reserve, upload};

const HOUR: Duration = Duration::from_hours(1);

pub(crate) fn source(name: &str) -> ImportSource {
    ImportSource {
        id: OpaqueId::generate(),
        name: name.to_owned(),
        bucket: ImportBucket {
            name: "pictures".to_owned(),
            endpoint: (name.len() > 3).then(|| "https://s3.test".to_owned()),
            region: "there".to_owned(),
            path_style: true,
            access_key_id: "AKIA".to_owned(),
            secret_access_key: format!("secret of {name}"),
        },
        created: at(3_000),
    }
}

fn job(source: &ImportSource, created: i64) -> ImportJob {
    ImportJob {
        id: OpaqueId::generate(),
        source: source.id.clone(),
        root: "a/".to_owned(),
        prefix: "old/\u{e9}".to_owned(),
        overwrite: true,
        state: ImportState::Pending,
        counts: ImportCounts::default(),
        error: None,
        created: at(created),
        started: None,
        finished: None,
    }
}

/// An account with a source and a job.
async fn importing(catalog: &dyn Catalog) -> (AccountId, ImportSource, ImportJob) {
    let account = new_account(catalog).await;
    let source = source("one");
    catalog
        .insert_import_source(&account, &source, 9)
        .await
        .unwrap();
    let job = job(&source, 4_000);
    catalog.insert_import_job(&account, &job, 9).await.unwrap();
    (account, source, job)
}

async fn claim(catalog: &dyn Catalog, holder: u8, time: Duration) -> Option<ClaimedImport> {
    let claimed = catalog.claim_import_job([holder; 16], time, at(5_000));
    claimed.await.unwrap()
}

/// As lists show it.
fn shown(source: &ImportSource) -> ImportSource {
    let mut shown = source.clone();
    shown.bucket.secret_access_key.clear();
    shown
}

fn object(image: &str) -> ImportedObject {
    ImportedObject {
        image: id(image),
        blob: BlobKey::from_bytes([7; 16]),
        etag: Some("\"e\"".to_owned()),
        bytes: 7,
        modified: at(1),
    }
}

fn entry(key: &str, outcome: ImportOutcome) -> ImportEntry {
    ImportEntry {
        key: key.to_owned(),
        outcome,
        reason: (outcome != ImportOutcome::Imported).then(|| "because".to_owned()),
    }
}

pub(crate) async fn sources_are_kept_and_listed_oldest_first(catalog: &dyn Catalog) {
    let account = new_account(catalog).await;
    let (one, other) = (source("one"), source("other"));
    for source in [&one, &other] {
        catalog
            .insert_import_source(&account, source, 2)
            .await
            .unwrap();
    }
    let full = catalog
        .insert_import_source(&account, &source("third"), 2)
        .await;
    assert!(matches!(full, Err(Error::Full)), "{full:?}");
    let listed = catalog.import_sources(&account).await.unwrap();
    assert_eq!(listed, [shown(&one), shown(&other)]);
    let renamed = catalog.rename_import_source(&account, &one.id, "new");
    renamed.await.unwrap();
    let listed = catalog.import_sources(&account).await.unwrap();
    assert_eq!(listed[0].name, "new");
    let stranger = new_account(catalog).await;
    assert_eq!(catalog.import_sources(&stranger).await.unwrap(), []);
    for outcome in [
        catalog.rename_import_source(&stranger, &one.id, "x").await,
        catalog.delete_import_source(&stranger, &one.id).await,
    ] {
        assert!(matches!(outcome, Err(Error::NotFound)), "{outcome:?}");
    }
    catalog
        .delete_import_source(&account, &one.id)
        .await
        .unwrap();
    let listed = catalog.import_sources(&account).await.unwrap();
    assert_eq!(listed, [shown(&other)]);
}

pub(crate) async fn a_job_is_carried_out_by_one_process(catalog: &dyn Catalog) {
    let (account, source, job) = importing(catalog).await;
    let late = self::job(&source, 4_001);
    catalog.insert_import_job(&account, &late, 9).await.unwrap();
    let mut started = job.clone();
    let claimed = claim(catalog, 1, HOUR).await.unwrap();
    assert_eq!((&claimed.account, &claimed.source), (&account, &source));
    assert_eq!(
        (claimed.job.id.clone(), claimed.after.as_str()),
        (job.id.clone(), "")
    );
    let other = claim(catalog, 2, HOUR).await.unwrap();
    assert_eq!(other.job.id, late.id);
    assert!(claim(catalog, 3, HOUR).await.is_none());
    started.state = ImportState::Running;
    started.started = Some(at(5_000));
    assert_eq!(catalog.import_jobs(&account).await.unwrap()[1], started);

    let step = ImportStep {
        after: Some("a/2".to_owned()),
        counts: ImportCounts {
            found: 4,
            imported: 1,
            skipped: 2,
            failed: 1,
        },
        entries: vec![
            entry("a/1", ImportOutcome::Imported),
            entry("a/2 \u{e9}", ImportOutcome::Failed),
        ],
        objects: vec![object("a/1")],
        error: None,
    };
    let advanced = catalog.advance_import_job(&claimed, step.clone(), HOUR);
    assert!(advanced.await.unwrap());
    let nothing = ImportStep::default();
    // Once more, for no time: it lapses.
    let advanced = catalog.advance_import_job(&claimed, nothing.clone(), Duration::ZERO);
    assert!(advanced.await.unwrap());
    let again = claim(catalog, 3, HOUR).await.unwrap();
    assert_eq!((&again.job.id, again.after.as_str()), (&job.id, "a/2"));
    assert_eq!(again.job.started, Some(at(5_000)));
    // The first comes too late for anything.
    let late_step = catalog
        .advance_import_job(&claimed, step.clone(), HOUR)
        .await;
    assert!(!late_step.unwrap());
    let ended = catalog.end_import_job(&claimed, ImportState::Failed, None, at(6_000));
    ended.await.unwrap();
    assert!(again.is_taken_over && !claimed.is_taken_over);
    assert_eq!((claimed.claims, again.claims), (1, 1));
    let images = vec![id("a/1"), id("a/2")];
    let known = catalog.imported_objects(&again, images.clone()).await;
    assert_eq!(known.unwrap(), [object("a/1")]);

    let mut changed = object("a/1");
    (changed.etag, changed.bytes) = (None, 8);
    changed.blob = BlobKey::from_bytes([8; 16]);
    let step = ImportStep {
        objects: vec![changed.clone()],
        ..step
    };
    assert!(
        catalog
            .advance_import_job(&again, step, HOUR)
            .await
            .unwrap()
    );
    let known = catalog.imported_objects(&again, images).await;
    assert_eq!(known.unwrap(), [changed]);
    let words = Some("no room".to_owned());
    let ended = catalog.end_import_job(&again, ImportState::QuotaExceeded, words, at(7_000));
    ended.await.unwrap();
    started.state = ImportState::QuotaExceeded;
    started.error = Some("no room".to_owned());
    started.finished = Some(at(7_000));
    started.counts = ImportCounts {
        found: 8,
        imported: 2,
        skipped: 4,
        failed: 2,
    };
    let jobs = catalog.import_jobs(&account).await.unwrap();
    assert_eq!(
        jobs.iter().map(|job| &job.id).collect::<Vec<_>>(),
        [&late.id, &job.id]
    );
    assert_eq!(jobs[1], started);
    let gone_on = catalog.advance_import_job(&again, nothing, HOUR).await;
    assert!(!gone_on.unwrap());

    let log = catalog.import_log(&account, &job.id, 0, 3).await.unwrap();
    let lines: Vec<_> = log
        .iter()
        .map(|(number, entry)| (*number, entry.key.as_str()))
        .collect();
    assert_eq!(lines, [(1, "a/1"), (2, "a/2 \u{e9}"), (3, "a/1")]);
    assert_eq!(log[1].1, entry("a/2 \u{e9}", ImportOutcome::Failed));
    let rest = catalog.import_log(&account, &job.id, 3, 3).await.unwrap();
    assert_eq!(rest.len(), 1);
    let stranger = new_account(catalog).await;
    let theirs = catalog.import_log(&stranger, &job.id, 0, 3).await;
    assert!(matches!(theirs, Err(Error::NotFound)), "{theirs:?}");
}

pub(crate) async fn a_job_which_ends_is_let_go(catalog: &dyn Catalog) {
    let (account, source, job) = importing(catalog).await;
    let used = catalog.delete_import_source(&account, &source.id).await;
    assert!(matches!(used, Err(Error::InUse)), "{used:?}");
    let full = catalog
        .insert_import_job(&account, &self::job(&source, 1), 1)
        .await;
    assert!(matches!(full, Err(Error::Full)), "{full:?}");
    let claimed = claim(catalog, 1, HOUR).await.unwrap();
    // A server which ends gives it back at once.
    catalog.release_import_jobs(&[2; 8]).await.unwrap();
    assert!(claim(catalog, 2, HOUR).await.is_none());
    catalog.release_import_jobs(&[1; 8]).await.unwrap();
    let other = claim(catalog, 2, HOUR).await.unwrap();
    assert_eq!(other.job.id, claimed.job.id);
    // It did not get on.
    assert_eq!(other.claims, 2);
    catalog
        .abort_import_job(&account, &job.id, at(8_000))
        .await
        .unwrap();
    let aborted = &catalog.import_jobs(&account).await.unwrap()[0];
    assert_eq!(
        (aborted.state, aborted.finished),
        (ImportState::Aborted, Some(at(8_000)))
    );
    let nothing = ImportStep::default();
    assert!(
        !catalog
            .advance_import_job(&other, nothing, HOUR)
            .await
            .unwrap()
    );
    let again = catalog.abort_import_job(&account, &job.id, at(9_000)).await;
    assert!(matches!(again, Err(Error::Changed)), "{again:?}");
    let unknown = OpaqueId::generate();
    let unknown = catalog
        .abort_import_job(&account, &unknown, at(9_000))
        .await;
    assert!(matches!(unknown, Err(Error::NotFound)), "{unknown:?}");

    // The newest of those which have ended stay.
    for number in 0..105 {
        let more = self::job(&source, 10_000 + number);
        catalog.insert_import_job(&account, &more, 9).await.unwrap();
        catalog
            .abort_import_job(&account, &more.id, at(9_000))
            .await
            .unwrap();
    }
    let jobs = catalog.import_jobs(&account).await.unwrap();
    assert_eq!(jobs.len(), 100);
    assert_eq!(jobs[99].created, at(10_005));
    catalog
        .delete_import_source(&account, &source.id)
        .await
        .unwrap();
    assert_eq!(catalog.import_jobs(&account).await.unwrap(), []);
    let gone = catalog.insert_import_job(&account, &job, 9).await;
    assert!(matches!(gone, Err(Error::NotFound)), "{gone:?}");
}

/// What `spoil` does is to a secret which then does not open: its job has failed, and the next one has its
/// turn.
async fn a_source_which_does_not_open_holds_up_no_other(
    catalog: &dyn Catalog,
    spoil: impl AsyncFnOnce(&str),
) {
    let (account, broken, first) = importing(catalog).await;
    let good = source("good");
    catalog
        .insert_import_source(&account, &good, 9)
        .await
        .unwrap();
    let second = job(&good, 4_001);
    catalog
        .insert_import_job(&account, &second, 9)
        .await
        .unwrap();
    spoil(broken.id.as_str()).await;
    assert!(claim(catalog, 1, HOUR).await.is_none());
    assert_eq!(claim(catalog, 1, HOUR).await.unwrap().job.id, second.id);
    let jobs = catalog.import_jobs(&account).await.unwrap();
    assert_eq!(
        (&jobs[1].id, jobs[1].state),
        (&first.id, ImportState::Failed)
    );
    let words = jobs[1].error.as_deref().unwrap();
    assert!(words.contains("does not open"), "{words}");
    // It is listed all the same, and can be deleted.
    assert_eq!(catalog.import_sources(&account).await.unwrap().len(), 2);
    catalog
        .delete_import_source(&account, &broken.id)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite_a_job_whose_source_does_not_open_has_failed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.sqlite");
    let catalog = store::Sqlite::open(&path, store::Vault::from_key([7; 32])).await;
    let spoil = async |id: &str| {
        let other = rusqlite::Connection::open(&path).unwrap();
        let sql = "UPDATE import_sources SET secret_access_key = x'0102' WHERE id = ?1";
        assert_eq!(other.execute(sql, [id]).unwrap(), 1);
    };
    a_source_which_does_not_open_holds_up_no_other(&catalog.unwrap(), spoil).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_a_job_whose_source_does_not_open_has_failed() {
    let Some(url) = crate::postgres::database() else {
        return;
    };
    let catalog = crate::nodes::node(&url).await;
    let spoil = async |id: &str| {
        let sql = "UPDATE import_sources SET secret_access_key = '\\x0102' WHERE id";
        crate::nodes::execute(&url, &format!("{sql} = '{id}'")).await;
    };
    a_source_which_does_not_open_holds_up_no_other(&catalog, spoil).await;
}

/// Whoever had a turn waits for the others.
pub(crate) async fn jobs_take_turns(catalog: &dyn Catalog) {
    let (account, source, first) = importing(catalog).await;
    let second = job(&source, 4_001);
    catalog
        .insert_import_job(&account, &second, 9)
        .await
        .unwrap();
    for expected in [&first, &second, &first, &second] {
        let claimed = claim(catalog, 1, HOUR).await.unwrap();
        assert_eq!(claimed.job.id, expected.id);
        // Whoever gives it back has noted all of it.
        assert!(!claimed.is_taken_over);
        catalog
            .yield_import_job(&claimed, Duration::ZERO)
            .await
            .unwrap();
    }
    // Or for later.
    for _ in 0..2 {
        let claimed = claim(catalog, 1, HOUR).await.unwrap();
        catalog.yield_import_job(&claimed, HOUR).await.unwrap();
    }
    assert!(claim(catalog, 1, HOUR).await.is_none());
}

pub(crate) async fn a_job_goes_with_its_account(catalog: &dyn Catalog) {
    let (account, _, _) = importing(catalog).await;
    let claimed = claim(catalog, 1, HOUR).await.unwrap();
    let step = ImportStep {
        entries: vec![entry("a", ImportOutcome::Skipped)],
        objects: vec![object("a")],
        ..ImportStep::default()
    };
    let advanced = catalog.advance_import_job(&claimed, step.clone(), Duration::ZERO);
    assert!(advanced.await.unwrap());
    catalog.delete_account(&account).await.unwrap();
    assert!(
        !catalog
            .advance_import_job(&claimed, step, HOUR)
            .await
            .unwrap()
    );
    assert!(claim(catalog, 2, HOUR).await.is_none());
}

pub(crate) async fn an_image_takes_the_place_of_another(catalog: &dyn Catalog) {
    let (account, _, job) = importing(catalog).await;
    let claimed = &claim(catalog, 1, HOUR).await.unwrap();
    let mut first = image("a");
    first.creator = crate::fixtures::creator("ann");
    let first = upload(catalog, &account, first).await;
    let there = |image| Some(blob(image));
    let next = image("a");
    let put = async |image: &Image, replaced, images_max| {
        let inserted =
            catalog.insert_imported_image(claimed, image.clone(), replaced, images_max, at(1));
        inserted.await
    };
    // Without its reservation nothing happens.
    let lapsed = put(&next, there(&first), None).await;
    assert!(
        matches!(lapsed, Err(Error::ReservationLapsed)),
        "{lapsed:?}"
    );
    let found = catalog.image(&account, &first.id).await.unwrap();
    assert_eq!(found.as_ref(), Some(&first));
    reserve(catalog, next.source.as_ref().unwrap()).await;
    // Nor in the place of another one, of none, or of a draft.
    let taken = put(&next, None, None).await;
    assert!(matches!(taken, Err(Error::Taken)), "{taken:?}");
    let awaited = crate::fixtures::draft("awaited", LATE);
    upload(catalog, &account, awaited.clone()).await;
    for id in ["a", "nothing", "awaited"] {
        let mut next = next.clone();
        next.id = crate::fixtures::id(id);
        let changed = put(&next, Some(BlobKey::generate()), None).await;
        assert!(matches!(changed, Err(Error::Changed)), "{id} {changed:?}");
    }
    let found = catalog.image(&account, &awaited.id).await.unwrap();
    assert!(found.unwrap().is_draft());
    let found = catalog.image(&account, &first.id).await.unwrap();
    assert_eq!(found.as_ref(), Some(&first));
    // An account which is full has the same number afterwards.
    let stored = put(&next, there(&first), Some(1)).await.unwrap();
    assert!(stored.uploaded > first.uploaded);
    let found = catalog.image(&account, &first.id).await.unwrap();
    assert_eq!(found.as_ref(), Some(&stored));
    assert_eq!(blob(&stored), blob(&next));
    let any = model::CreatorFilter::Any;
    assert_eq!(catalog.image_count(&account, &any).await.unwrap(), 1);
    let of_ann = crate::fixtures::is("ann");
    assert_eq!(catalog.image_count(&account, &of_ann).await.unwrap(), 0);
    let abandoned = catalog.abandoned_blobs(Timestamp::now(), 9).await.unwrap();
    assert_eq!(abandoned, [blob(&first)]);
    // Where there is none, it is the first.
    let new = image("new");
    reserve(catalog, new.source.as_ref().unwrap()).await;
    let full = put(&new, None, Some(1)).await;
    assert!(matches!(full, Err(Error::Full)), "{full:?}");
    put(&new, None, Some(9)).await.unwrap();

    // Whoever does not hold the job any more stores nothing.
    catalog
        .abort_import_job(&account, &job.id, at(8_000))
        .await
        .unwrap();
    let (late, next) = (image("late"), image("a"));
    for image in [&late, &next] {
        reserve(catalog, image.source.as_ref().unwrap()).await;
    }
    for lost in [
        put(&late, None, None).await,
        put(&next, there(&stored), None).await,
    ] {
        assert!(matches!(lost, Err(Error::NotFound)), "{lost:?}");
    }
    assert_eq!(catalog.image(&account, &late.id).await.unwrap(), None);
    let found = catalog.image(&account, &first.id).await.unwrap();
    assert_eq!(found.as_ref(), Some(&stored));
}

/// What was done until then is noted, and what others did of it is not.
pub(crate) async fn what_was_done_of_an_aborted_job_counts(catalog: &dyn Catalog) {
    let (account, _, job) = importing(catalog).await;
    let stale = claim(catalog, 1, Duration::ZERO).await.unwrap();
    let claimed = claim(catalog, 2, HOUR).await.unwrap();
    assert!(claimed.is_taken_over);
    catalog
        .abort_import_job(&account, &job.id, at(8_000))
        .await
        .unwrap();
    let counts = ImportCounts {
        found: 1,
        imported: 1,
        ..ImportCounts::default()
    };
    let step = ImportStep {
        counts,
        entries: vec![entry("a/1", ImportOutcome::Imported)],
        objects: vec![object("a/1")],
        error: Some("it is full".to_owned()),
        ..ImportStep::default()
    };
    for holder in [&stale, &claimed] {
        let goes_on = catalog.advance_import_job(holder, step.clone(), HOUR);
        assert!(!goes_on.await.unwrap());
    }
    let noted = &catalog.import_jobs(&account).await.unwrap()[0];
    assert_eq!((noted.state, noted.counts), (ImportState::Aborted, counts));
    assert_eq!(noted.error.as_deref(), Some("it is full"));
    let log = catalog.import_log(&account, &job.id, 0, 9).await.unwrap();
    assert_eq!(log.len(), 1);
    let known = catalog.imported_objects(&claimed, vec![id("a/1")]).await;
    assert_eq!(known.unwrap().len(), 1);
}

/// A log which is full of what went well has room for what did not.
pub(crate) async fn failures_are_logged_behind_everything_else(catalog: &dyn Catalog) {
    let (account, source, job) = importing(catalog).await;
    let claimed = claim(catalog, 1, HOUR).await.unwrap();
    for (outcome, count) in [
        (ImportOutcome::Imported, 4_999),
        (ImportOutcome::Skipped, 2),
        (ImportOutcome::Failed, 5_001),
        (ImportOutcome::Imported, 1),
    ] {
        let step = ImportStep {
            entries: vec![entry("a", outcome); count],
            ..ImportStep::default()
        };
        let goes_on = catalog.advance_import_job(&claimed, step, HOUR);
        assert!(goes_on.await.unwrap());
    }
    let lines = catalog.import_log(&account, &job.id, 4_998, 99_999).await;
    let outcomes: Vec<_> = lines
        .unwrap()
        .into_iter()
        .map(|(number, entry)| (number, entry.outcome))
        .collect();
    assert_eq!(outcomes.len(), 5_002);
    assert_eq!(outcomes[0], (4_999, ImportOutcome::Imported));
    assert_eq!(outcomes[1], (5_000, ImportOutcome::Skipped));
    assert_eq!(outcomes[2], (5_001, ImportOutcome::Failed));
    assert_eq!(outcomes[5_001], (10_000, ImportOutcome::Failed));
    // All of it goes with the source, in more than one step.
    let ended = catalog.end_import_job(&claimed, ImportState::Completed, None, at(9_000));
    ended.await.unwrap();
    catalog
        .delete_import_source(&account, &source.id)
        .await
        .unwrap();
    assert_eq!(catalog.import_jobs(&account).await.unwrap(), []);
}
