//! Random histories and random queries, compared with a list in memory.

use model::{
    AccountId, Comparison, Condition, Creator, CreatorFilter, Image, ImageId, Metadata,
    MetadataFilter, Operand,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Value, json};
use store::Catalog;
use store::catalog::{ImageEdit, ListQuery, Order};
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use crate::fixtures::{LATE, at, draft, filled, image, new_account, pages, reserve, upload};

#[derive(Clone, Debug)]
enum Step {
    Upload(Option<Creator>, Option<Metadata>),
    Draft(Option<Creator>, Option<Metadata>),
    /// Something happens to one of those which are there.
    Change(usize, Change),
}

#[derive(Clone, Debug)]
enum Change {
    Fill,
    Edit(ImageEdit),
    Delete,
}

pub(crate) async fn lists_agree_with_a_simple_model(catalog: &dyn Catalog) {
    let case = (
        prop::collection::vec(step(), 1..40),
        prop::collection::vec(list_query(), 1..12),
    );
    let config = Config {
        cases: 96,
        failure_persistence: None,
        ..Config::default()
    };
    let handle = Handle::current();
    let outcome = block_in_place(|| {
        TestRunner::new(config).run(&case, |(steps, queries)| {
            handle.block_on(check(catalog, steps, queries));
            Ok(())
        })
    });
    outcome.unwrap();
}

async fn check(catalog: &dyn Catalog, steps: Vec<Step>, queries: Vec<ListQuery>) {
    let account = new_account(catalog).await;
    let mut model: Vec<Image> = Vec::new();
    for step in steps {
        let before: Vec<_> = model.iter().map(|image| image.id.clone()).collect();
        take(catalog, &account, &mut model, step).await;
        // Reading everything after every step finds what a memory of earlier reads would spoil.
        for image in &model {
            let read = catalog.image(&account, &image.id).await.unwrap();
            assert_eq!(read.as_ref(), Some(image));
        }
        for id in before {
            if model.iter().all(|image| image.id != id) {
                assert_eq!(catalog.image(&account, &id).await.unwrap(), None);
            }
        }
    }
    model.retain(|image| !image.is_draft());
    model.sort_by_key(|image| image.uploaded);
    for query in queries {
        let mut expected: Vec<_> = model
            .iter()
            .filter(|image| has_creator(image, &query.creator))
            .cloned()
            .collect();
        let count = catalog.image_count(&account, &query.creator).await;
        assert_eq!(count.unwrap(), expected.len() as u64);
        expected.retain(|image| query.filter.matches(image.metadata.as_ref()));
        if query.order == Order::Descending {
            expected.reverse();
        }
        let listed = pages(catalog, &account, query).await;
        assert_eq!(listed, expected);
    }
}

async fn take(catalog: &dyn Catalog, account: &AccountId, model: &mut Vec<Image>, step: Step) {
    match step {
        Step::Upload(creator, metadata) => {
            let mut image = image(ImageId::generate(false).as_str());
            (image.creator, image.metadata) = (creator, metadata);
            model.push(upload(catalog, account, image).await);
        }
        Step::Draft(creator, metadata) => {
            let mut draft = draft(ImageId::generate(false).as_str(), LATE);
            (draft.creator, draft.metadata) = (creator, metadata);
            model.push(upload(catalog, account, draft).await);
        }
        Step::Change(_, _) if model.is_empty() => {}
        Step::Change(at, change) => {
            let at = at % model.len();
            apply(catalog, account, model, at, change).await;
        }
    }
}

async fn apply(
    catalog: &dyn Catalog,
    account: &AccountId,
    model: &mut Vec<Image>,
    chosen: usize,
    change: Change,
) {
    let id = model[chosen].id.clone();
    match change {
        Change::Fill => {
            let content = filled(at(2_500));
            reserve(catalog, &content.source).await;
            let image = catalog.fill_draft(account, &id, content, None).await;
            assert_eq!(image.is_ok(), model[chosen].is_draft());
            if let Ok(image) = image {
                model[chosen] = image;
            }
        }
        Change::Edit(edit) => {
            model[chosen] = catalog.edit_image(account, &id, edit).await.unwrap();
        }
        Change::Delete => {
            let deleted = catalog.delete_image(account, &id, at(0)).await.unwrap();
            assert_eq!(deleted, model.swap_remove(chosen));
        }
    }
}

fn has_creator(image: &Image, filter: &CreatorFilter) -> bool {
    match filter {
        CreatorFilter::Any => true,
        CreatorFilter::Unset => image.creator.is_none(),
        CreatorFilter::Is(creator) => image.creator.as_ref() == Some(creator),
    }
}

fn step() -> impl Strategy<Value = Step> {
    let change = prop_oneof![
        2 => Just(Change::Fill),
        3 => edit().prop_map(Change::Edit),
        1 => Just(Change::Delete),
    ];
    prop_oneof![
        3 => (creator(), metadata()).prop_map(|(creator, value)| Step::Upload(creator, value)),
        1 => (creator(), metadata()).prop_map(|(creator, value)| Step::Draft(creator, value)),
        3 => (any::<usize>(), change).prop_map(|(at, change)| Step::Change(at, change)),
    ]
}

fn edit() -> impl Strategy<Value = ImageEdit> {
    let edit = (
        prop::option::of(metadata()),
        prop::option::of(creator()),
        prop::option::of(any::<bool>()),
    );
    edit.prop_map(|(metadata, creator, require_signed_urls)| ImageEdit {
        metadata,
        creator,
        require_signed_urls,
    })
}

fn creator() -> impl Strategy<Value = Option<Creator>> {
    prop::sample::select(vec!["", "a", "b", "A"])
        .prop_map(|text| Creator::from_stored(text.to_owned()))
}

const KEYS: [&str; 5] = ["a", "b", "a.b", "é", ""];

fn metadata() -> impl Strategy<Value = Option<Metadata>> {
    let nested = scalar().prop_recursive(6, 16, 3, |inner| {
        prop_oneof![
            object(inner.clone()),
            prop::collection::vec(inner, 0..2).prop_map(Value::Array),
        ]
    });
    let value = prop_oneof![2 => scalar(), 1 => nested];
    object(value).prop_map(|value| Metadata::from_stored(&value.to_string()))
}

fn object(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    let key = prop_oneof![
        2 => Just(KEYS[0]),
        1 => prop::sample::select(KEYS.to_vec()),
    ];
    let entry = (key, value);
    prop::collection::vec(entry, 0..5).prop_map(|entries| {
        let entries = entries.into_iter().map(|(key, value)| (key.into(), value));
        Value::Object(entries.collect::<Map<_, _>>())
    })
}

fn long(end: &str) -> String {
    // A character of two bytes lies across the place where the index cuts.
    format!("{}é{end}", "x".repeat(63))
}

/// Mostly values which are close to each other, so that conditions often meet them.
fn scalar() -> impl Strategy<Value = Value> {
    let close = vec![json!(true), json!("true"), json!(1), json!(1.0), json!("1")];
    prop_oneof![
        2 => prop::sample::select(close),
        1 => prop::sample::select(scalars()),
    ]
}

fn scalars() -> Vec<Value> {
    vec![
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(-0.0),
        json!(1),
        json!(1.0),
        json!(1.5),
        json!(-1),
        json!(9_007_199_254_740_993_i64),
        json!(9_007_199_254_740_992_i64),
        json!(u64::MAX),
        json!(1e300),
        json!(""),
        json!("1"),
        json!("1.0"),
        json!("true"),
        json!("x\u{0}y"),
        json!(long("a")),
        json!(long("b")),
    ]
}

fn list_query() -> impl Strategy<Value = ListQuery> {
    let order = prop_oneof![Just(Order::Ascending), Just(Order::Descending)];
    let creator = prop_oneof![
        3 => Just(CreatorFilter::Any),
        1 => Just(CreatorFilter::Unset),
        2 => creator().prop_map(|creator| {
            creator.map_or(CreatorFilter::Unset, CreatorFilter::Is)
        }),
    ];
    let conditions = prop::collection::vec(condition(), 0..3);
    (order, 1_u32..8, creator, conditions).prop_map(|(order, limit, creator, conditions)| {
        ListQuery {
            order,
            after: None,
            limit,
            creator,
            filter: MetadataFilter { conditions },
        }
    })
}

fn condition() -> impl Strategy<Value = Condition> {
    let key = prop::sample::select(KEYS.to_vec()).prop_map(str::to_owned);
    let path = prop::collection::vec(key, 1..7);
    let short = Just(vec![KEYS[0].to_owned()]);
    let path = prop_oneof![3 => short, 1 => path];
    let number = prop::sample::select(vec![
        0.0,
        -0.0,
        1.0,
        1.5,
        -2.0,
        9_007_199_254_740_992.0,
        1e300,
        f64::INFINITY,
    ]);
    let comparison = prop_oneof![
        4 => prop::collection::vec(operand(), 1..4).prop_map(Comparison::Any),
        1 => number.clone().prop_map(Comparison::Above),
        1 => number.clone().prop_map(Comparison::AtLeast),
        1 => number.clone().prop_map(Comparison::Below),
        1 => number.prop_map(Comparison::AtMost),
    ];
    (path, comparison).prop_map(|(path, comparison)| Condition { path, comparison })
}

fn operand() -> impl Strategy<Value = Operand> {
    scalar().prop_flat_map(|value| {
        let text = match &value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let typed = match value {
            Value::Bool(truth) => Operand::Boolean(truth),
            Value::Number(number) => Operand::Number(number.as_f64().unwrap_or(0.0)),
            _ => Operand::String(text.clone()),
        };
        prop_oneof![Just(Operand::Text(text)), Just(typed)]
    })
}
