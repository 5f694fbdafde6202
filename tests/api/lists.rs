//! Both lists: pages, tokens, order, filters.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{PHOTO, Server, send};

fn ids(result: &Value) -> Vec<String> {
    let images = result["images"].as_array().unwrap();
    let ids = images
        .iter()
        .map(|image| image["id"].as_str().unwrap().to_owned());
    ids.collect()
}

async fn filled(count: usize) -> (Server, Vec<String>) {
    let server = Server::start().await;
    let mut uploaded = Vec::new();
    for number in 0..count {
        let id = format!("image/{number:02}");
        uploaded.push(server.upload(PHOTO, &[("id", &id)]).await);
    }
    (server, uploaded)
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_by_number_are_newest_first_and_end_empty() {
    let (server, mut uploaded) = filled(25).await;
    uploaded.reverse();
    let page = async |query: &str| server.get(&format!("images/v1?{query}")).await;
    let mut walked = Vec::new();
    for number in 1..=3 {
        let answer = page(&format!("page={number}&per_page=10")).await;
        let result = answer.result();
        let info = answer.envelope()["result_info"].clone();
        let count = ids(&result).len();
        let expected = json!({"page": number, "per_page": 10, "count": count, "total_count": 25});
        assert_eq!(info, expected);
        assert_eq!(result["items"], json!([{"images": result["images"]}]));
        walked.extend(ids(&result));
    }
    assert_eq!(walked, uploaded);
    let beyond = page("page=4&per_page=10").await.result();
    assert_eq!(beyond, json!({"images": [], "items": []}));
    assert_eq!(ids(&page("").await.result()), uploaded);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_by_token_show_every_image_once_in_both_orders() {
    let (server, uploaded) = filled(25).await;
    for (order, gone) in [("asc", "image/12"), ("desc", "image/03")] {
        let mut walked = Vec::new();
        let mut token = String::new();
        loop {
            let path =
                format!("images/v2?per_page=10&sort_order={order}&continuation_token={token}");
            let answer = server.get(&path).await;
            assert!(answer.envelope().get("result_info").is_none());
            let result = answer.result();
            assert!(ids(&result).len() <= 10);
            walked.extend(ids(&result));
            match result["continuation_token"].as_str() {
                Some(next) => token = next.to_owned(),
                None => break,
            }
            // What happens meanwhile moves no page.
            server.delete(&format!("images/v1/{gone}")).await;
        }
        let mut expected: Vec<_> = uploaded.iter().filter(|id| *id != "image/12").collect();
        expected.retain(|id| *id != gone);
        if order == "desc" {
            expected.reverse();
        }
        walked.retain(|id| id != gone);
        assert_eq!(walked.iter().collect::<Vec<_>>(), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_out_of_range_are_refused() {
    let (server, _) = filled(3).await;
    for query in [
        "images/v1?page=0",
        "images/v1?page=-1",
        "images/v1?page=x",
        "images/v1?page=99999999999999999999",
        "images/v1?page=9223372036854775807&per_page=10000",
        "images/v1?per_page=0",
        "images/v1?per_page=10001",
        "images/v1?per_page=1.5",
        "images/v2?per_page=0",
        "images/v2?per_page=10001",
        "images/v2?sort_order=up",
        "images/v2?continuation_token=forged",
        "images/v2?meta.a=1",
        "images/v2?meta.a%5Bne%5D=1",
        "images/v2?meta.a%5Bgt%5D=x",
    ] {
        assert_eq!(server.get(query).await.failure(), (400, 5400), "{query}");
    }
    for query in [
        "images/v1?per_page=9",
        "images/v1?per_page=1",
        "images/v2?per_page=10000",
    ] {
        assert_eq!(server.get(query).await.status, 200, "{query}");
    }
    let creator = "c".repeat(1_025);
    let long = server.get(&format!("images/v2?creator={creator}")).await;
    assert_eq!(long.failure(), (400, 5400));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_another_list_is_refused() {
    let (server, _) = filled(3).await;
    let first = server.get("images/v2?per_page=1").await.result();
    let token = first["continuation_token"].as_str().unwrap();
    for other in [
        "sort_order=asc",
        "creator=",
        "creator=me",
        "meta.a%5Beq%5D=1",
    ] {
        let path = format!("images/v2?per_page=1&{other}&continuation_token={token}");
        assert_eq!(server.get(&path).await.failure(), (400, 5400), "{other}");
    }
    let path = format!("images/v2?per_page=2&continuation_token={token}");
    let resized = server.get(&path).await.result();
    assert_eq!(ids(&resized), ["image/01", "image/00"]);
    let (other, other_token) = server.another_account().await;
    let url = format!(
        "{}/client/v4/accounts/{}/images/v2?continuation_token={token}",
        server.url, other.id
    );
    let stolen = send(
        server
            .client
            .request(Method::GET, url)
            .bearer_auth(other_token),
    )
    .await;
    assert_eq!(stolen.failure(), (400, 5400));
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_filtered_by_creator_and_metadata() {
    let server = Server::start().await;
    for (id, creator, metadata) in [
        ("a", "me", r#"{"status":"active","n":5,"deep":{"er":true}}"#),
        ("b", "you", r#"{"status":"draft","n":6}"#),
        ("c", "", r#"{"status":"active","n":"5"}"#),
        ("d", "", ""),
    ] {
        let texts = [("id", id), ("creator", creator), ("metadata", metadata)];
        server.upload(PHOTO, &texts).await;
    }
    for (query, expected) in [
        ("", &["d", "c", "b", "a"][..]),
        ("creator=me", &["a"]),
        ("creator=", &["d", "c"]),
        ("creator=nobody", &[]),
    ] {
        for version in ["v1", "v2"] {
            let result = server
                .get(&format!("images/{version}?{query}"))
                .await
                .result();
            assert_eq!(ids(&result), expected, "{version} {query}");
        }
    }
    for (query, expected) in [
        ("meta.status%5Beq%5D=active", &["c", "a"][..]),
        ("meta.status%5Beq%3Astring%5D=active&creator=me", &["a"]),
        ("meta.n%5Beq%5D=5", &["c", "a"]),
        ("meta.n%5Beq:number%5D=5", &["a"]),
        ("meta.n[gte]=5&meta.n[lte:number]=6", &["b", "a"]),
        ("meta.deep.er[eq:boolean]=true", &["a"]),
        ("meta.status[in]=draft%7Cother", &["b"]),
        ("meta.status[eq]=active&meta.status[eq]=draft", &[]),
    ] {
        let result = server.get(&format!("images/v2?{query}")).await.result();
        assert_eq!(ids(&result), expected, "{query}");
    }
    let total = server.get("images/v1?creator=me").await.envelope();
    assert_eq!(total["result_info"]["total_count"], 1);
}
