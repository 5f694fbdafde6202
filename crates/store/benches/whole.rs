//! How a catalog does with one account of very many images: filled, walked over, copied, and a tenth of
//! it deleted, as clients and the sweep do.
//!
//! `CALOTYPE_BENCH_IMAGES` sets how many images (1,000,000 by default), `CALOTYPE_BENCH_DATABASE` an
//! empty PostgreSQL database instead of a temporary file.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use model::{
    Account, AccountConfig, AccountHash, AccountId, BlobKey, Creator, CreatorFilter, Image,
    ImageId, KeyName, MediaType, Metadata, MetadataFilter, SigningKey, Source, Timestamp, Variant,
};
use store::catalog::{ListQuery, Order, Reading, Record};
use store::{Portable, Postgres, PostgresUrl, Sqlite, Vault};

/// Records of one `put_records`.
const PIECE: u64 = 500;

fn main() {
    // `cargo test --benches` runs this too, and wants to see only that it works.
    let given = std::env::var("CALOTYPE_BENCH_IMAGES").ok();
    let images = given.and_then(|text| text.parse().ok()).unwrap_or_else(|| {
        let is_bench = std::env::args().any(|argument| argument == "--bench");
        if is_bench { 1_000_000 } else { 2_000 }
    });
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    runtime.block_on(async {
        let vault = Vault::from_key([7; 32]);
        let database = std::env::var("CALOTYPE_BENCH_DATABASE");
        let catalog: Arc<dyn Portable> = if let Ok(url) = database {
            let url = PostgresUrl::parse(&url).expect("a PostgreSQL address");
            let opened = Postgres::open(&url, 32, vault.clone()).await;
            Arc::new(opened.expect("the catalog opens"))
        } else {
            let opened = Sqlite::open(&folder.path().join("one"), vault.clone()).await;
            Arc::new(opened.expect("the catalog opens"))
        };
        let copy = Sqlite::open(&folder.path().join("other"), vault).await;
        let copy = copy.expect("the catalog opens");
        run(&catalog, &copy, images).await;
    });
}

async fn run(catalog: &Arc<dyn Portable>, copy: &Sqlite, images: u64) {
    let account = Account {
        id: AccountId::generate(),
        hash: AccountHash::generate(),
        name: "one".to_owned(),
        created: Timestamp::from_seconds(0),
        config: AccountConfig::default(),
    };
    let key = SigningKey::generate(KeyName::default_name());
    let variant = Variant::public();
    let created = catalog.create_account(&account, &variant, &key).await;
    created.expect("an account is created");
    let owner = account.id;

    let start = Instant::now();
    let mut number = 0;
    while number < images {
        let end = images.min(number + PIECE);
        let records = (number..end).map(|number| Record::Image(owner.clone(), image(number)));
        let put = catalog.put_records(records.collect()).await;
        put.expect("records are written");
        number = end;
    }
    rate("filled, 500 images in one go", images, start.elapsed());

    let start = Instant::now();
    let any = CreatorFilter::Any;
    let count = catalog.image_count(&owner, &any).await.expect("a count");
    println!("count: {count} in {:?}", start.elapsed());
    page(catalog, &owner).await;

    for reading in [Reading::AtOneMoment, Reading::PieceByPiece] {
        let start = Instant::now();
        let mut records = catalog.records(reading);
        let mut seen = 0;
        while let Some(some) = records.recv().await {
            seen += some.expect("records are read").len() as u64;
        }
        assert_eq!(seen, images + 1);
        rate(&format!("walked over, {reading:?}"), seen, start.elapsed());
    }

    let start = Instant::now();
    let mut records = catalog.records(Reading::PieceByPiece);
    while let Some(some) = records.recv().await {
        let put = copy.put_records(some.expect("records are read")).await;
        put.expect("records are written");
    }
    rate(
        "copied into a second file, without bytes",
        images,
        start.elapsed(),
    );

    delete(catalog, &owner, images / 10).await;
    page(catalog, &owner).await;
}

/// As clients do, one request each.
async fn delete(catalog: &Arc<dyn Portable>, owner: &AccountId, images: u64) {
    let next = AtomicU64::new(0);
    let start = Instant::now();
    join_all((0..32).map(async |_| {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= images {
                break;
            }
            let id = id(number * 10);
            let deleted = catalog.delete_image(owner, &id, Timestamp::from_seconds(0));
            deleted.await.expect("an image is deleted");
        }
    }))
    .await;
    rate("deleted by 32 clients", images, start.elapsed());

    let start = Instant::now();
    let mut swept = 0;
    loop {
        let blobs = catalog.abandoned_blobs(Timestamp::now(), 1_000).await;
        let blobs = blobs.expect("blobs are handed out");
        if blobs.is_empty() {
            break;
        }
        swept += blobs.len() as u64;
        catalog
            .forget_blobs(&blobs)
            .await
            .expect("blobs are forgotten");
    }
    assert_eq!(swept, images);
    rate("swept, without bytes", swept, start.elapsed());
}

async fn page(catalog: &Arc<dyn Portable>, owner: &AccountId) {
    let query = ListQuery {
        order: Order::Descending,
        after: None,
        limit: 1_000,
        creator: CreatorFilter::Any,
        filter: MetadataFilter::default(),
    };
    let start = Instant::now();
    let page = catalog.images_after(owner, &query).await.expect("a page");
    println!("page of {}: {:?}", page.len(), start.elapsed());
}

fn rate(what: &str, steps: u64, time: Duration) {
    let rate = steps as f64 / time.as_secs_f64();
    println!("{what}: {steps} in {time:.1?}, {rate:.0} a second");
}

fn id(number: u64) -> ImageId {
    ImageId::from_path(format!("image/{number}"))
}

fn image(number: u64) -> Image {
    Image {
        id: id(number),
        filename: None,
        metadata: Metadata::from_stored(&format!(r#"{{"album":"album {}"}}"#, number % 1_000)),
        creator: Creator::from_stored(format!("creator {}", number % 1_000)),
        uploaded: Timestamp::from_micros(1_700_000_000_000_000 + number as i64),
        require_signed_urls: false,
        source: Some(Source {
            blob: BlobKey::generate(),
            bytes: 200_000,
            sha256: model::random_bytes(),
            format: MediaType::Jpeg,
            width: 4_000,
            height: 3_000,
        }),
        draft_expires: None,
    }
}
