//! What is counted of requests, and the id by which one is found.

use reqwest::Method;

use crate::harness::{PHOTO, Server, send};

/// The value of a sample, by its name and labels as written.
fn sample<'a>(page: &'a str, series: &str) -> &'a str {
    let line = page
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in\n{page}"))
}

fn number(page: &str, series: &str) -> f64 {
    sample(page, series).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_renderings_and_caches_are_counted() {
    let server = Server::start().await;
    let id = server.upload(PHOTO, &[]).await;
    for (id, status) in [(id.as_str(), 200), (&id, 200), ("missing", 404)] {
        let answer = server.deliver(&format!("{id}/public"), &[]).await;
        assert_eq!(answer.status, status);
    }
    server
        .form("images/v1", crate::harness::form(b"no image", &[]))
        .await;

    let url = format!("{}/metrics", server.metrics_url);
    let answer = send(server.client.get(&url)).await;
    assert_eq!(
        answer.header("content-type"),
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let page = answer.text();
    for (series, expected) in [
        (
            "calotype_requests_total{route=\"delivery\",status=\"200\"}",
            "2",
        ),
        (
            "calotype_requests_total{route=\"delivery\",status=\"404\"}",
            "1",
        ),
        ("calotype_requests_total{route=\"api\",status=\"200\"}", "1"),
        (
            "calotype_request_duration_seconds_count{route=\"delivery\"}",
            "3",
        ),
        ("calotype_cache_hits_total{tier=\"memory\"}", "1"),
        ("calotype_cache_misses_total", "1"),
        (
            "calotype_renders_total{format=\"jpeg\",outcome=\"ok\"}",
            "1",
        ),
        ("calotype_render_duration_seconds_count", "1"),
        ("calotype_uploads_total{outcome=\"stored\"}", "1"),
        ("calotype_uploads_total{outcome=\"refused\"}", "1"),
        ("calotype_upload_bytes_total", &PHOTO.len().to_string()),
        ("calotype_requests_in_progress", "0"),
        ("calotype_workers{lane=\"render\"}", "2"),
        ("calotype_queue_length{lane=\"render\"}", "0"),
    ] {
        assert_eq!(sample(&page, series), expected, "{series}");
    }
    let build = format!(
        "calotype_build_info{{version=\"{}\"}}",
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(sample(&page, &build), "1");
    assert!(number(&page, "process_resident_memory_bytes") > 1e6);
    assert!(number(&page, "process_open_fds") < number(&page, "process_max_fds"));
    let bytes = "calotype_response_bytes_total{route=\"delivery\"}";
    assert!(number(&page, bytes) > 200.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_of_the_metrics_is_well_formed() {
    let server = Server::start().await;
    server.deliver("missing/public", &[]).await;
    let url = format!("{}/metrics", server.metrics_url);
    let page = send(server.client.get(&url)).await.text();
    assert!(page.ends_with('\n'));
    let mut family = "";
    for line in page.lines() {
        if let Some(head) = line.strip_prefix("# HELP ") {
            family = head.split(' ').next().unwrap();
        } else if let Some(head) = line.strip_prefix("# TYPE ") {
            assert!(head.starts_with(family), "{line}");
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(series.starts_with(family), "{line}");
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_address_of_metrics_serves_health_and_nothing_else() {
    let server = Server::start().await;
    let get = |url: String| send(server.client.get(url));
    for path in ["/livez", "/readyz", "/health"] {
        let answer = get(format!("{}{path}", server.metrics_url)).await;
        assert_eq!((answer.status.as_u16(), path), (200, path));
    }
    let path = format!("/client/v4/accounts/{}/images/v1", server.account.id);
    let api = server
        .client
        .get(format!("{}{path}", server.metrics_url))
        .bearer_auth(&server.token);
    assert_eq!(send(api).await.status, 404);
    let posted = server
        .client
        .post(format!("{}/metrics", server.metrics_url));
    assert_eq!(send(posted).await.status, 404);
    // And what strangers reach has no metrics.
    assert_eq!(get(format!("{}/metrics", server.url)).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_names_its_request() {
    let server = Server::start().await;
    let asked = |id: &'static str| {
        let request = server.request(Method::GET, "images/v1");
        send(request.header("x-request-id", id))
    };
    assert_eq!(asked("mine-1").await.header("x-request-id"), "mine-1");
    let minted = asked("not mine").await;
    assert_eq!(minted.header("x-request-id").len(), 32);
    let other = server.deliver("missing/public", &[]).await;
    assert_eq!(other.header("x-request-id").len(), 32);
    assert_ne!(other.header("x-request-id"), minted.header("x-request-id"));
}
