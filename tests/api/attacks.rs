//! Attacks on signatures and caches, by the rows of the list they belong to.

use model::{Account, KeyName, SigningKey, Timestamp, signed_url};
use serde_json::Value;

use crate::harness::{Answer, PHOTO, Server, TURNED, send};

/// A server with two private images, and the key which signs for them.
async fn private() -> (Server, [String; 2], SigningKey) {
    let server = Server::start().await;
    let signed = [("requireSignedURLs", "true")];
    let ids = [
        server.upload(PHOTO, &signed).await,
        server.upload(TURNED, &signed).await,
    ];
    let keys = server.get("images/v1/keys").await.result();
    let key = key_of(&keys);
    (server, ids, key)
}

fn key_of(keys: &Value) -> SigningKey {
    SigningKey {
        name: KeyName::default_name(),
        value: keys["keys"][0]["value"].as_str().unwrap().to_owned(),
    }
}

async fn get(server: &Server, target: &str) -> Answer {
    send(server.client.get(format!("{}{target}", server.url))).await
}

fn path_of(account: &Account, id: &str) -> String {
    format!("/{}/{id}/public", account.hash)
}

/// Row 20. Upper and lower case of a hexadecimal digit are the same signature.
#[tokio::test(flavor = "multi_thread")]
async fn no_flipped_bit_of_a_signed_address_opens_anything() {
    let (server, [id, _], key) = private().await;
    let expires = Timestamp::now().seconds() + 1_000;
    let target = signed_url::signed_path(&key, &path_of(&server.account, &id), Some(expires));
    let signature = target.find("sig=").unwrap() + 4;
    let ask = async |target: &[u8]| {
        let end = b" HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
        server.raw(&[b"HEAD ", target, end].concat()).await
    };
    assert!(ask(target.as_bytes()).await.starts_with("HTTP/1.1 200"));
    for place in 0..target.len() {
        for bit in 0..8 {
            let mut flipped = target.clone().into_bytes();
            flipped[place] ^= 1 << bit;
            let same = place >= signature && flipped.eq_ignore_ascii_case(target.as_bytes());
            let answer = ask(&flipped).await;
            let shown = String::from_utf8_lossy(&flipped);
            assert_eq!(
                answer.starts_with("HTTP/1.1 200"),
                same,
                "{shown}: {answer}"
            );
        }
    }
}

/// Rows 21 and 22. Whatever is done to an address, it opens the image which was signed or none.
#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_a_signed_address_opens_another_image() {
    let (server, [id, other], key) = private().await;
    let (path, theirs) = (
        path_of(&server.account, &id),
        path_of(&server.account, &other),
    );
    let hash = &server.account.hash;
    let sig = signed_url::sign(&key, &path, None);
    let signed = get(&server, &format!("{path}?sig={sig}")).await;
    assert_eq!(signed.status, 200);
    let zero = "0".repeat(64);
    for target in [
        format!("{path}?sig={}", sig.to_uppercase()),
        format!("{path}?sig={sig}&sig={zero}"),
        format!("{path}?sig={zero}&sig={sig}"),
        format!("{path}?a=1&sig={sig}&b=2"),
        format!("{path}?sig={sig}?"),
        format!("{path}?sig={sig};"),
        format!("{path}?sig={sig}&"),
        format!("{path}?sig%3D{sig}"),
        format!("{path}?Sig={sig}"),
        format!("{path}?sig[]={sig}"),
        format!("{path}/?sig={sig}"),
        format!("{path};sig={sig}"),
        format!("{path}%3Fsig={sig}"),
        format!("/{hash}/{id}/sig={sig}/public"),
        format!("/{hash}/sig={sig}/{id}/public"),
        format!("/{hash}/{id}%2Fpublic?sig={sig}"),
        format!("/{hash}//{id}/public?sig={sig}"),
        format!("/{hash}/./{id}/public?sig={sig}"),
        format!("/{hash}/{id}/%70ublic?sig={sig}"),
        format!("/{hash}/{id}/%2570ublic?sig={sig}"),
        format!("/{hash}/{other}/../{id}/public?sig={sig}"),
        format!("/{hash}/{id}/../{other}/public?sig={sig}"),
        format!("/{hash}/{id}%2F..%2F{other}/public?sig={sig}"),
        format!("{theirs}?sig={sig}"),
        format!("{theirs}?path={path}&sig={sig}"),
        format!("{theirs}#{path}?sig={sig}"),
        format!("//{hash}/{other}/public?sig={sig}"),
    ] {
        // Written out, since a client would tidy them up.
        let head = format!("GET {target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        let answer = server.raw(head.as_bytes()).await;
        if answer.starts_with("HTTP/1.1 200") {
            let etag = format!("etag: {}\r\n", signed.header("etag"));
            assert!(answer.contains(&etag), "{target} opened another image");
        } else {
            assert!(answer.starts_with("HTTP/1.1 4"), "{target}: {answer}");
        }
    }
    let lower = format!("{path}?sig={zero}&sig={sig}");
    assert_eq!(get(&server, &lower).await.status, 403, "the first counts");
}

/// Row 23.
#[tokio::test(flavor = "multi_thread")]
async fn an_expiry_is_a_number_of_seconds_to_come() {
    let (server, [id, _], key) = private().await;
    let path = path_of(&server.account, &id);
    let now = Timestamp::now().seconds();
    for (expiry, status) in [
        ((now + 60).to_string(), 200),
        (format!("0{}", now + 60), 200),
        ((now - 60).to_string(), 403),
        ("0".to_owned(), 403),
        (String::new(), 403),
        (format!("-{}", now + 60), 403),
        (format!("+{}", now + 60), 403),
        (format!("{}.5", now + 60), 403),
        (format!("{now}e3"), 403),
        (format!("%20{}", now + 60), 403),
        (i64::MAX.to_string(), 200),
        ("9223372036854775808".to_owned(), 403),
        ("99999999999999999999999".to_owned(), 403),
    ] {
        // The bare path is signed, which opens with any expiry that is one.
        let sig = signed_url::sign(&key, &path, None);
        let answer = get(&server, &format!("{path}?exp={expiry}&sig={sig}")).await;
        assert_eq!(answer.status, status, "exp={expiry}");
    }
}

/// Row 24.
#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_one_account_opens_nothing_of_another() {
    let (server, [id, _], own) = private().await;
    let (other, token) = server.another_account().await;
    let url = format!(
        "{}/client/v4/accounts/{}/images/v1/keys",
        server.url, other.id
    );
    let keys = send(server.client.get(url).bearer_auth(token))
        .await
        .result();
    let theirs = key_of(&keys);
    assert_ne!(theirs.value, own.value);
    let path = path_of(&server.account, &id);
    let signed = signed_url::signed_path(&theirs, &path, None);
    assert_eq!(get(&server, &signed).await.status, 403);
    // Under their name there is no such image, whoever signs.
    let path = path_of(&other, &id);
    for key in [&own, &theirs] {
        let answer = get(&server, &signed_url::signed_path(key, &path, None)).await;
        assert_eq!(answer.refusal(), (404, 9404));
    }
    let path = path_of(&server.account, &id);
    let signature = signed_url::sign(&own, &path, None);
    for length in [0, 1, 16, 32, 63] {
        let cut = &signature[..length];
        let answer = get(&server, &format!("{path}?sig={cut}")).await;
        assert_eq!(answer.status, 403, "{length} digits");
    }
}

/// Row 31: who may see an image is judged anew for each request, from every tier.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_or_made_private_is_in_no_tier() {
    let server = Server::start().await;
    for drop_memory in [false, true] {
        let id = server.upload(PHOTO, &[]).await;
        let path = path_of(&server.account, &id);
        let seen = get(&server, &path).await;
        assert_eq!(seen.status, 200);
        let edit = serde_json::json!({"requireSignedURLs": true});
        let edited = server
            .json(reqwest::Method::PATCH, &format!("images/v1/{id}"), &edit)
            .await
            .result();
        let private = edited["id"].as_str().unwrap().to_owned();
        if drop_memory {
            server.empty("cache/r");
        }
        assert_eq!(get(&server, &path).await.refusal(), (404, 9404));
        let renamed = path_of(&server.account, &private);
        assert_eq!(get(&server, &renamed).await.refusal(), (403, 9425));
        server
            .delete(&format!("images/v1/{private}"))
            .await
            .result();
        let known = ("if-none-match", seen.header("etag"));
        let rest = format!("{private}/public");
        assert_eq!(server.deliver(&rest, &[known]).await.refusal(), (404, 9404));
    }
}

/// Row 32: no answer of the API may be kept by a cache which goes by the end of an address.
#[tokio::test(flavor = "multi_thread")]
async fn answers_of_the_api_are_kept_by_no_cache() {
    let server = Server::start().await;
    let id = server.upload(PHOTO, &[]).await;
    let (account, hash) = (&server.account.id, &server.account.hash);
    for target in [
        format!("/client/v4/accounts/{account}/images/v1/{id}"),
        format!("/client/v4/accounts/{account}/images/v1/keys/x.png"),
        format!("/client/v4/accounts/{account}/images/v1/x.png"),
        format!("/client/v4/accounts/{account}/images/v1/keys;x.png"),
        format!("/client/v4/accounts/{account}/images/v1/keys%2Fx.jpg"),
        format!("/{hash}/{id}/public/..;/client/v4/accounts/{account}/images/v1/keys"),
        format!("/{hash}/{id}/..%2f..%2f..%2fclient/v4/user"),
        format!("/image.jpg/..;/client/v4/accounts/{account}/images/v1/keys"),
        "/client/v4/user/tokens/verify".to_owned(),
        "/client/v4/user/x.jpg".to_owned(),
    ] {
        let token = &server.token;
        let head = format!(
            "GET {target} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {token}\r\n\
             Connection: close\r\n\r\n"
        );
        let answer = server.raw(head.as_bytes()).await.to_ascii_lowercase();
        let is_kept_from_caches = answer.contains("cache-control: no-store\r\n");
        assert!(is_kept_from_caches, "{target}: {answer}");
        assert!(!answer.contains("\"value\":"), "{target}: {answer}");
    }
}
