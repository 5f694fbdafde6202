//! How fast the catalog is at scale: loads images into a temporary folder and prints what the calls
//! of the service cost.
//!
//! `CALOTYPE_BENCH_IMAGES` sets how many images (1,000,000 by default), `CALOTYPE_BENCH_FOLDER`
//! where, and `CALOTYPE_BENCH_DATABASE` a PostgreSQL database instead. One which is there already is
//! measured as it is.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use model::{
    Account, AccountConfig, AccountHash, AccountId, BlobKey, Creator, CreatorFilter, Filename,
    Image, ImageId, KeyName, MediaType, Metadata, MetadataFilter, SigningKey, Source, Timestamp,
    Variant,
};
use serde_json::json;
use store::catalog::{ListQuery, Order, Position};
use store::{Catalog, Postgres, PostgresUrl, Sqlite, Vault};

const ACCOUNTS: usize = 10;
const CREATORS: u64 = 1_000;
const LOADERS: u64 = 256;
const LATE: Timestamp = Timestamp::from_seconds(4_000_000_000);

fn main() {
    // `cargo test --benches` runs this too, and wants to see only that it works.
    let images = setting("CALOTYPE_BENCH_IMAGES").unwrap_or_else(|| {
        let is_bench = std::env::args().any(|argument| argument == "--bench");
        if is_bench { 1_000_000 } else { 1_000 }
    });
    let temporary = tempfile::tempdir().expect("a temporary folder can be made");
    let folder = std::env::var("CALOTYPE_BENCH_FOLDER");
    let folder = folder.map_or(temporary.path().to_owned(), PathBuf::from);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    let database = std::env::var("CALOTYPE_BENCH_DATABASE");
    let database = database.map_or_else(
        |_| Database::Sqlite(folder.join("catalog.sqlite")),
        |url| Database::Postgres(PostgresUrl::parse(&url).expect("a PostgreSQL address")),
    );
    runtime.block_on(run(&database, images));
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// What is measured.
enum Database {
    Sqlite(PathBuf),
    Postgres(PostgresUrl),
}

impl Database {
    async fn open(&self) -> Arc<dyn Catalog> {
        let vault = Vault::from_key([7; 32]);
        match self {
            Self::Sqlite(path) => {
                Arc::new(Sqlite::open(path, vault).await.expect("the catalog opens"))
            }
            Self::Postgres(url) => {
                let opened = Postgres::open(url, 32, vault).await;
                Arc::new(opened.expect("the catalog opens"))
            }
        }
    }
}

async fn run(database: &Database, images: u64) {
    let catalog = database.open().await;
    if catalog.accounts().await.expect("accounts").is_empty() {
        load(catalog.as_ref(), images).await;
        catalog.close().await.expect("the catalog closes");
    }
    drop(catalog);
    if let Database::Sqlite(path) = database {
        let size = path.metadata().expect("the database is a file").len();
        println!("size: {} MB", size / 1_000_000);
    }

    let start = Instant::now();
    let catalog = database.open().await;
    let accounts = catalog.accounts().await.expect("accounts");
    println!("open and first query: {:?}", start.elapsed());
    let hot = accounts[0].id.clone();
    let count = count(catalog.as_ref(), &hot, &CreatorFilter::Any).await;
    println!("images of the hot account: {count}");

    lists(catalog.as_ref(), &hot, count).await;
    point_reads(&catalog, &hot).await;
    for clients in [1, 16, 32] {
        inserts(&catalog, &hot, clients).await;
    }
    catalog.close().await.expect("the catalog closes");
}

async fn load(catalog: &dyn Catalog, images: u64) {
    let mut accounts = Vec::new();
    for number in 0..ACCOUNTS {
        let account = Account {
            id: AccountId::generate(),
            hash: AccountHash::generate(),
            name: format!("account {number}"),
            created: Timestamp::from_seconds(number as i64),
            config: AccountConfig::default(),
        };
        let key = SigningKey::generate(KeyName::default_name());
        catalog
            .create_account(&account, &Variant::public(), &key)
            .await
            .expect("an account is created");
        accounts.push(account.id);
    }
    let next = AtomicU64::new(0);
    let start = Instant::now();
    join_all((0..LOADERS).map(async |_| {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= images {
                break;
            }
            let random = scattered(number);
            let account = if random % 10 < 7 {
                0
            } else {
                1 + (random / 10) as usize % (ACCOUNTS - 1)
            };
            insert(catalog, &accounts[account], number).await;
        }
    }))
    .await;
    let rate = images as f64 / start.elapsed().as_secs_f64();
    println!("load: {rate:.0} images/s, reservations included");
}

async fn insert(catalog: &dyn Catalog, account: &AccountId, number: u64) {
    let image = image(number);
    let blob = image.source.as_ref().map(|source| &source.blob);
    let blob = blob.expect("the image is no draft");
    catalog
        .reserve_blobs(std::slice::from_ref(blob), LATE)
        .await
        .expect("a blob is reserved");
    catalog
        .insert_image(account, image, None)
        .await
        .expect("an image is inserted");
}

/// Looks random, and is the same in every run.
fn scattered(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn image(number: u64) -> Image {
    let random = scattered(number ^ 0xabcd);
    let id = if random.is_multiple_of(5) {
        ImageId::from_path(format!("shop/{}/photo {number}.jpg", random % 1_000))
    } else {
        ImageId::generate(random.is_multiple_of(7))
    };
    // A few creators have many images.
    let creator = (random / 8 % 10 < 6).then(|| {
        let skewed = scattered(random) % CREATORS * (scattered(random + 1) % CREATORS) / CREATORS;
        format!("creator {skewed}")
    });
    let metadata = json!({
        "album": format!("album {}", random % 500),
        "rating": random / 3 % 6,
        "price": (random / 7 % 100_000) as f64 / 100.0,
        "camera": { "maker": format!("maker {}", random % 40), "flash": random.is_multiple_of(3) },
    });
    Image {
        id,
        filename: Some(Filename::from_stored(format!("photo {number}.jpg"))),
        metadata: Metadata::from_stored(&metadata.to_string()),
        creator: creator.and_then(Creator::from_stored),
        uploaded: Timestamp::from_micros(number as i64),
        require_signed_urls: random.is_multiple_of(7),
        source: Some(Source {
            blob: BlobKey::generate(),
            bytes: random % 5_000_000,
            sha256: model::random_bytes(),
            format: MediaType::Jpeg,
            width: 4_000,
            height: 3_000,
        }),
        draft_expires: None,
    }
}

async fn lists(catalog: &dyn Catalog, hot: &AccountId, count: u64) {
    let middle = catalog
        .images_at(hot, &CreatorFilter::Any, count / 2, 1)
        .await
        .expect("a page");
    let middle = middle.last().map(|image| Position {
        uploaded: image.uploaded,
        id: image.id.clone(),
    });
    for order in [Order::Descending, Order::Ascending] {
        for (place, after) in [("head", None), ("middle", middle.clone())] {
            let query = query(order, after);
            let name = format!("list {order:?}, {place}");
            time(&name, || catalog.images_after(hot, &query)).await;
        }
    }
    // The most frequent creators come first.
    for (name, creator) in [
        ("creator 0", is("creator 0")),
        ("creator 500", is("creator 500")),
        ("no creator", CreatorFilter::Unset),
    ] {
        let mut query = query(Order::Descending, None);
        query.creator = creator;
        let name = format!("list of {name}");
        time(&name, || catalog.images_after(hot, &query)).await;
    }
    for conditions in [
        &[("meta.album[eq]", "album 7")][..],
        &[("meta.camera.flash[eq]", "true")],
        &[("meta.rating[gte]", "2")],
        &[("meta.price[gt]", "10"), ("meta.price[lt]", "10.2")],
        &[("meta.album[eq]", "album 7"), ("meta.rating[eq]", "3")],
        &[("meta.album[eq]", "none of them")],
    ] {
        let mut query = query(Order::Descending, None);
        for (name, value) in conditions {
            query.filter.add(name, value).expect("a condition");
        }
        let name = format!("list where {conditions:?}");
        time(&name, || catalog.images_after(hot, &query)).await;
    }
    for (offset, limit) in [(0, 100), (0, 10_000), (count * 6 / 7, 100)] {
        let name = format!("numbered list, offset {offset}");
        time(&name, || {
            catalog.images_at(hot, &CreatorFilter::Any, offset, limit)
        })
        .await;
    }
    let start = Instant::now();
    self::count(catalog, hot, &CreatorFilter::Any).await;
    println!("count: {:?}", start.elapsed());
}

fn query(order: Order, after: Option<Position>) -> ListQuery {
    ListQuery {
        order,
        after,
        limit: 1_000,
        creator: CreatorFilter::Any,
        filter: MetadataFilter::default(),
    }
}

fn is(creator: &str) -> CreatorFilter {
    Creator::from_stored(creator.to_owned()).map_or(CreatorFilter::Any, CreatorFilter::Is)
}

async fn count(catalog: &dyn Catalog, account: &AccountId, creator: &CreatorFilter) -> u64 {
    catalog
        .image_count(account, creator)
        .await
        .expect("a count")
}

/// The median of some runs, after a first one which warms up.
async fn time<F>(name: &str, mut list: impl FnMut() -> F)
where
    F: Future<Output = Result<Vec<Image>, store::Error>>,
{
    let images = list().await.expect("a list").len();
    let mut times = Vec::new();
    for _ in 0..9 {
        let start = Instant::now();
        list().await.expect("a list");
        times.push(start.elapsed());
    }
    times.sort();
    println!("{name}: {images} images in {:?}", times[times.len() / 2]);
}

async fn point_reads(catalog: &Arc<dyn Catalog>, hot: &AccountId) {
    let mut ids = Vec::new();
    let mut query = query(Order::Ascending, None);
    // More than are kept in memory, so that the database is measured.
    for _ in 0..100 {
        let page = catalog.images_after(hot, &query).await.expect("a list");
        query.after = page.last().map(|image| Position {
            uploaded: image.uploaded,
            id: image.id.clone(),
        });
        ids.extend(page.into_iter().map(|image| image.id));
        if query.after.is_none() {
            break;
        }
    }
    if ids.is_empty() {
        return;
    }
    let ids = Arc::new(ids);
    for clients in [1, 16] {
        let start = Instant::now();
        let end = start + Duration::from_secs(2);
        let clients_done = (0..clients).map(|client| {
            let (catalog, hot, ids) = (Arc::clone(catalog), hot.clone(), Arc::clone(&ids));
            tokio::spawn(async move {
                let mut reads = 0_u64;
                for id in ids.iter().cycle().skip(client * 61) {
                    catalog.image(&hot, id).await.expect("a read");
                    reads += 1;
                    if Instant::now() >= end {
                        break;
                    }
                }
                reads
            })
        });
        let reads: u64 = join_all(clients_done)
            .await
            .into_iter()
            .map(|reads| reads.expect("a client finishes"))
            .sum();
        let rate = reads as f64 / start.elapsed().as_secs_f64();
        println!("{clients} clients: {rate:.0} point reads/s");
    }
}

async fn inserts(catalog: &Arc<dyn Catalog>, hot: &AccountId, clients: u64) {
    // Ids which no run used before.
    let first = u64::from_le_bytes(model::random_bytes()) >> 2;
    let start = Instant::now();
    let end = start + Duration::from_secs(3);
    let clients_done = (0..clients).map(|client| {
        let (catalog, hot) = (Arc::clone(catalog), hot.clone());
        tokio::spawn(async move {
            let mut inserted = 0_u64;
            while Instant::now() < end {
                let number = first + client * 1_000_000 + inserted;
                insert(catalog.as_ref(), &hot, number).await;
                inserted += 1;
            }
            inserted
        })
    });
    let inserted: u64 = join_all(clients_done)
        .await
        .into_iter()
        .map(|inserted| inserted.expect("a client finishes"))
        .sum();
    let rate = inserted as f64 / start.elapsed().as_secs_f64();
    println!("{clients} clients: {rate:.0} durable uploads/s of two writes each");
}
