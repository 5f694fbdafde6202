use futures_util::future::join_all;
use model::{AccountId, CreatorFilter, Image, Metadata};
use serde_json::json;
use store::Catalog;
use store::catalog::{ImageEdit, Order};

use crate::fixtures::{
    at, creator, filter, image, is, metadata, names, new_account, pages, position, query, upload,
    upload_some,
};

async fn upload_with(
    catalog: &dyn Catalog,
    account: &AccountId,
    name: &str,
    value: Option<Metadata>,
) -> Image {
    let mut image = image(name);
    image.metadata = value;
    upload(catalog, account, image).await
}

pub(crate) async fn a_list_goes_both_ways(catalog: &dyn Catalog) {
    let account = new_account(catalog).await;
    let mut images = upload_some(catalog, &account, 5).await;
    let listed = catalog
        .images_after(&account, &query(Order::Ascending, 10))
        .await
        .unwrap();
    assert_eq!(listed, images);
    images.reverse();
    let listed = catalog
        .images_after(&account, &query(Order::Descending, 3))
        .await
        .unwrap();
    assert_eq!(listed, images[..3]);
    let none = catalog
        .images_after(&account, &query(Order::Descending, 0))
        .await
        .unwrap();
    assert_eq!(none, []);
}

pub(crate) async fn pages_meet_without_gap_or_overlap(catalog: &dyn Catalog) {
    let account = new_account(catalog).await;
    let images = upload_some(catalog, &account, 10).await;
    for limit in [1, 2, 3, 5, 10, 11] {
        let listed = pages(catalog, &account, query(Order::Ascending, limit)).await;
        assert_eq!(listed, images, "{limit} on a page");
        let mut listed = pages(catalog, &account, query(Order::Descending, limit)).await;
        listed.reverse();
        assert_eq!(listed, images, "{limit} on a page");
    }
    // The image where a page ended may be gone, or have another id, when the next is asked for.
    let mut next = query(Order::Ascending, 10);
    next.after = Some(position(&images[4]));
    catalog
        .delete_image(&account, &images[4].id, at(0))
        .await
        .unwrap();
    let listed = catalog.images_after(&account, &next).await.unwrap();
    assert_eq!(listed, images[5..]);
}

pub(crate) async fn a_list_is_of_one_creator(catalog: &dyn Catalog) {
    let account = new_account(catalog).await;
    let mut images = Vec::new();
    for number in 0..30 {
        let mut image = image(&format!("image {number}"));
        image.creator = creator(["mara", "Mara", ""][number % 3]);
        images.push(upload(catalog, &account, image).await);
    }
    let filters = [is("mara"), is("Mara"), CreatorFilter::Unset];
    for (at, filter) in filters.into_iter().enumerate() {
        let mut expected: Vec<_> = images.iter().skip(at).step_by(3).cloned().collect();
        let mut asked = query(Order::Ascending, 4);
        asked.creator = filter.clone();
        assert_eq!(pages(catalog, &account, asked.clone()).await, expected);
        assert_eq!(catalog.image_count(&account, &filter).await.unwrap(), 10);
        asked.order = Order::Descending;
        expected.reverse();
        assert_eq!(pages(catalog, &account, asked).await, expected);
    }
    let mut unknown = query(Order::Ascending, 4);
    unknown.creator = is("nobody");
    assert_eq!(pages(catalog, &account, unknown).await, []);
}

pub(crate) async fn numbered_pages_agree_with_the_list(catalog: &dyn Catalog) {
    let account = new_account(catalog).await;
    for number in 0..25 {
        let mut image = image(&format!("image {number}"));
        image.creator = if number % 2 == 0 {
            creator("mara")
        } else {
            None
        };
        upload(catalog, &account, image).await;
    }
    for filter in [CreatorFilter::Any, CreatorFilter::Unset, is("mara")] {
        let mut all = query(Order::Descending, 100);
        all.creator = filter.clone();
        let all = pages(catalog, &account, all).await;
        for (offset, limit) in [
            (0, 100),
            (0, 7),
            (7, 7),
            (11, 3),
            (24, 7),
            (25, 7),
            (900, 1),
        ] {
            let page = catalog
                .images_at(&account, &filter, offset, limit)
                .await
                .unwrap();
            let expected: Vec<_> = all
                .iter()
                .skip(offset as usize)
                .take(limit as usize)
                .cloned()
                .collect();
            assert_eq!(page, expected, "{filter:?} {offset} {limit}");
        }
    }
}

pub(crate) async fn counts_equal_lists(catalog: &dyn Catalog) {
    let account = new_account(catalog).await;
    let filters = [CreatorFilter::Any, CreatorFilter::Unset, is("a"), is("b")];
    let check = async || {
        for filter in &filters {
            let mut all = query(Order::Ascending, 100);
            all.creator = filter.clone();
            let listed = pages(catalog, &account, all).await.len();
            let counted = catalog.image_count(&account, filter).await.unwrap();
            assert_eq!(counted, listed as u64, "{filter:?}");
        }
    };
    let mut images = Vec::new();
    for number in 0..12 {
        let mut image = image(&format!("image {number}"));
        image.creator = creator(["a", "b", ""][number % 3]);
        images.push(upload(catalog, &account, image).await);
    }
    check().await;
    for (at, creator) in [
        (0, creator("b")),
        (1, None),
        (2, creator("a")),
        (3, creator("a")),
    ] {
        let edit = ImageEdit {
            creator: Some(creator),
            ..ImageEdit::default()
        };
        catalog
            .edit_image(&account, &images[at].id, edit)
            .await
            .unwrap();
    }
    check().await;
    for image in &images[..9] {
        catalog
            .delete_image(&account, &image.id, at(0))
            .await
            .unwrap();
    }
    check().await;
    for image in &images[9..] {
        catalog
            .delete_image(&account, &image.id, at(0))
            .await
            .unwrap();
    }
    check().await;
}

pub(crate) async fn sparse_matches_fill_their_page(catalog: &dyn Catalog) {
    let account = new_account(catalog).await;
    let mut expected = Vec::new();
    // One in a hundred is rare in both; each condition alone is frequent.
    for number in 0..1_500 {
        let value = json!({ "tens": number % 10, "word": format!("w{}", number / 10 % 10) });
        let name = format!("image {number}");
        let stored = upload_with(catalog, &account, &name, metadata(&value.to_string())).await;
        if number % 10 == 3 && number / 10 % 10 == 7 {
            expected.push(stored);
        }
    }
    let mut asked = query(Order::Ascending, 4);
    asked.filter = filter(&[("meta.tens[eq]", "3"), ("meta.word[eq]", "w7")]);
    assert_eq!(pages(catalog, &account, asked.clone()).await, expected);
    asked.filter = filter(&[
        ("meta.tens[gt]", "2"),
        ("meta.tens[lt]", "4"),
        ("meta.word[in]", "w7|x"),
    ]);
    assert_eq!(pages(catalog, &account, asked.clone()).await, expected);
    asked.order = Order::Descending;
    expected.reverse();
    assert_eq!(pages(catalog, &account, asked).await, expected);
}

pub(crate) async fn a_frequent_range_of_numbers_is_in_order(catalog: &dyn Catalog) {
    let account = new_account(catalog).await;
    let mut expected = Vec::new();
    for number in 0..600 {
        // Not in the order of upload.
        let value = json!({ "n": (number * 7) % 600, "deep": { "half": 0.5 } });
        let name = format!("image {number}");
        let stored = upload_with(catalog, &account, &name, metadata(&value.to_string())).await;
        if (number * 7) % 600 >= 100 {
            expected.push(stored);
        }
    }
    let mut asked = query(Order::Ascending, 37);
    asked.filter = filter(&[("meta.n[gte]", "100"), ("meta.deep.half[lt]", "1")]);
    assert_eq!(pages(catalog, &account, asked.clone()).await, expected);
    asked.order = Order::Descending;
    expected.reverse();
    assert_eq!(pages(catalog, &account, asked).await, expected);
}

pub(crate) async fn values_of_every_kind_are_found(catalog: &dyn Catalog) {
    let account = new_account(catalog).await;
    let long = "x".repeat(80);
    let values = [
        ("text", json!("5")),
        ("number", json!(5)),
        ("float", json!(5.0)),
        ("truth", json!(true)),
        ("word", json!("true")),
        ("list", json!([5])),
        ("null", json!(null)),
        ("object", json!({ "k": 5 })),
        ("long", json!(format!("{long}a"))),
        ("longer", json!(format!("{long}b"))),
    ];
    for (name, value) in &values {
        let value = json!({ "v": value, "v.k": "dotted" });
        upload_with(catalog, &account, name, metadata(&value.to_string())).await;
    }
    let long_a = format!("{long}a");
    for (name, value, expected) in [
        ("meta.v[eq]", "5", vec!["text", "number"]),
        ("meta.v[eq]", "5.0", vec!["float"]),
        ("meta.v[eq:string]", "5", vec!["text"]),
        ("meta.v[eq:number]", "5", vec!["number", "float"]),
        ("meta.v[in:number]", "4|5.0", vec!["number", "float"]),
        ("meta.v[eq]", "true", vec!["truth", "word"]),
        ("meta.v[eq:boolean]", "true", vec!["truth"]),
        (
            "meta.v[in]",
            "true|5",
            vec!["text", "number", "truth", "word"],
        ),
        ("meta.v[lte]", "5", vec!["number", "float"]),
        ("meta.v[lt]", "5", vec![]),
        ("meta.v.k[eq]", "5", vec!["object"]),
        ("meta.v.k[eq]", "dotted", vec![]),
        ("meta.v[eq]", long_a.as_str(), vec!["long"]),
    ] {
        let mut asked = query(Order::Ascending, 3);
        asked.filter = filter(&[(name, value)]);
        let listed = pages(catalog, &account, asked).await;
        assert_eq!(names(&listed), expected, "{name}={value}");
    }
}

pub(crate) async fn an_unknown_account_lists_nothing(catalog: &dyn Catalog) {
    let account = AccountId::generate();
    let mut asked = query(Order::Ascending, 3);
    assert_eq!(catalog.images_after(&account, &asked).await.unwrap(), []);
    asked.filter = filter(&[("meta.a[eq]", "1")]);
    assert_eq!(catalog.images_after(&account, &asked).await.unwrap(), []);
    let any = CreatorFilter::Any;
    assert_eq!(catalog.images_at(&account, &any, 0, 9).await.unwrap(), []);
    assert_eq!(catalog.image_count(&account, &any).await.unwrap(), 0);
}

pub(crate) async fn standing_images_are_listed_once_under_writes(catalog: &dyn Catalog) {
    let account = new_account(catalog).await;
    let account = &account;
    let images = upload_some(catalog, account, 200).await;
    let (doomed, standing): (Vec<_>, Vec<_>) = images
        .into_iter()
        .enumerate()
        .partition(|(number, _)| number % 2 == 0);
    let standing: Vec<_> = standing.into_iter().map(|(_, image)| image).collect();
    let walk = async |order| {
        let listed = pages(catalog, account, query(order, 7)).await;
        let mut found: Vec<_> = listed
            .into_iter()
            .filter(|image| standing.contains(image))
            .collect();
        if order == Order::Descending {
            found.reverse();
        }
        assert_eq!(names(&found), names(&standing));
    };
    let insert = async {
        for number in 0..100 {
            upload(catalog, account, image(&format!("new {number}"))).await;
        }
    };
    let delete = join_all(doomed.iter().map(|(_, image)| async {
        catalog
            .delete_image(account, &image.id, at(0))
            .await
            .unwrap();
    }));
    let walks = async {
        for _ in 0..3 {
            tokio::join!(walk(Order::Ascending), walk(Order::Descending));
        }
    };
    tokio::join!(insert, delete, walks);
}
