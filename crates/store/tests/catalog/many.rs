//! An account with very many images. `CALOTYPE_MANY_IMAGES` sets how many, in thousands.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures_util::future::join_all;
use model::{AccountId, BlobKey, CreatorFilter, Image, Timestamp};
use store::catalog::{Order, Record};
use store::{Catalog, Error, Portable};

use crate::fixtures::{
    LATE, at, blob, creator, id, image, is, metadata, new_account, position, query,
};

/// Each tenth is deleted.
const DOOMED: u64 = 10;
const CREATORS: u64 = 1_000;
/// Records which are put in one go.
const PIECE: u64 = 500;
const CLIENTS: usize = 32;

/// A tenth of them is deleted by many clients, while others list them.
pub(crate) async fn a_tenth_of_very_many_images_is_deleted(catalog: &dyn Portable) {
    let thousands = std::env::var("CALOTYPE_MANY_IMAGES").ok();
    let thousands: u64 = thousands.map_or(5, |text| text.parse().unwrap());
    let images = thousands * 1_000;
    let owner = &new_account(catalog).await;
    let mut doomed: HashMap<BlobKey, u64> = HashMap::new();
    for first in (0..images).step_by(PIECE as usize) {
        let piece = (first..first + PIECE).map(|number| {
            let image = numbered(number);
            if number.is_multiple_of(DOOMED) {
                doomed.insert(blob(&image), number);
            }
            Record::Image(owner.clone(), image)
        });
        catalog.put_records(piece.collect()).await.unwrap();
    }
    assert_eq!(count(catalog, owner, &CreatorFilter::Any).await, images);

    let (next, done) = (&AtomicU64::new(0), &AtomicBool::new(false));
    let delete = async {
        join_all((0..CLIENTS).map(async |_| {
            loop {
                let number = next.fetch_add(DOOMED, Ordering::Relaxed);
                if number >= images {
                    break;
                }
                let id = id(&number.to_string());
                catalog.delete_image(owner, &id, at(500)).await.unwrap();
            }
        }))
        .await;
        done.store(true, Ordering::Relaxed);
    };
    let walk = async |order| {
        loop {
            let is_last = done.load(Ordering::Relaxed);
            let still_there = walk(catalog, owner, order, images).await;
            if is_last {
                break assert_eq!(still_there, 0);
            }
        }
    };
    tokio::join!(delete, walk(Order::Ascending), walk(Order::Descending));

    let left = images - images / DOOMED;
    assert_eq!(count(catalog, owner, &CreatorFilter::Any).await, left);
    assert_eq!(count(catalog, owner, &is("creator 0")).await, 0);
    assert_eq!(count(catalog, owner, &is("creator 7")).await, thousands);
    let again = catalog.delete_image(owner, &id("0"), at(500)).await;
    assert!(matches!(again, Err(Error::NotFound)), "{again:?}");

    // The sweep is told of the bytes of those, once their time has come, and of no others.
    assert_eq!(catalog.abandoned_blobs(at(499), 10).await.unwrap(), []);
    loop {
        let blobs = catalog.abandoned_blobs(at(500), 1_000).await.unwrap();
        if blobs.is_empty() {
            break;
        }
        for blob in &blobs {
            assert!(doomed.remove(blob).is_some(), "{blob:?}");
        }
        catalog.forget_blobs(&blobs).await.unwrap();
    }
    assert!(doomed.is_empty(), "{doomed:?}");
    assert_eq!(catalog.abandoned_blobs(LATE, 10).await.unwrap(), []);
}

fn numbered(number: u64) -> Image {
    Image {
        creator: creator(&format!("creator {}", number % CREATORS)),
        metadata: metadata(&format!(r#"{{"album":"album {}"}}"#, number % 500)),
        uploaded: Timestamp::from_micros(number as i64),
        ..image(&number.to_string())
    }
}

async fn count(catalog: &dyn Catalog, owner: &AccountId, creator: &CreatorFilter) -> u64 {
    catalog.image_count(owner, creator).await.unwrap()
}

/// Sees each image which is not deleted once and in order, and says how many of the others it saw.
async fn walk(catalog: &dyn Catalog, owner: &AccountId, order: Order, images: u64) -> u64 {
    let mut query = query(order, 1_000);
    let mut standing = (0..images).filter(|number| !number.is_multiple_of(DOOMED));
    let mut others = 0;
    loop {
        let page = catalog.images_after(owner, &query).await.unwrap();
        for image in &page {
            let number: u64 = image.id.as_str().parse().unwrap();
            if number.is_multiple_of(DOOMED) {
                others += 1;
                continue;
            }
            let expected = match order {
                Order::Ascending => standing.next(),
                Order::Descending => standing.next_back(),
            };
            assert_eq!(Some(number), expected);
        }
        if page.len() < query.limit as usize {
            assert_eq!(standing.next(), None);
            return others;
        }
        query.after = page.last().map(position);
    }
}
