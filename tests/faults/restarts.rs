//! Three nodes behind a balancer of load, restarted one after the other while clients go on.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures_util::future::join_all;
use reqwest::{Client, StatusCode};

use crate::nodes::{Nodes, client};
use crate::server::{API_TOKEN, Server};
use crate::until::until;
use crate::{listed, picture};

/// A balancer of load before three nodes: takes one out before it ends.
struct Balancer {
    nodes: Vec<Mutex<Option<(String, u64)>>>,
}

impl Balancer {
    /// Takes a node out if no request is under way there; says whether it did.
    fn take_out(&self, place: usize) -> bool {
        let mut node = self.nodes[place].lock().expect("nobody panics with it");
        let idle = node.as_ref().is_some_and(|(_, under_way)| *under_way == 0);
        if idle {
            *node = None;
        }
        idle
    }

    fn put_in(&self, place: usize, url: String) {
        *self.nodes[place].lock().expect("nobody panics with it") = Some((url, 0));
    }

    /// Sends one request to the next node which is in.
    async fn send<T>(&self, turn: u64, request: impl AsyncFnOnce(&str) -> T) -> T {
        let count = self.nodes.len();
        let (place, url) = (0..count)
            .map(|step| (turn as usize + step) % count)
            .find_map(|place| {
                let mut node = self.nodes[place].lock().expect("nobody panics with it");
                let (url, under_way) = node.as_mut()?;
                *under_way += 1;
                Some((place, url.clone()))
            })
            .expect("a node is in");
        let answer = request(&url).await;
        let mut node = self.nodes[place].lock().expect("nobody panics with it");
        if let Some((_, under_way)) = node.as_mut() {
            *under_way -= 1;
        }
        answer
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_and_s3_a_rolling_restart_fails_no_request() {
    let Some(nodes) = Nodes::new() else { return };
    let mut servers: Vec<Option<Server>> = (0..3).map(|_| Some(nodes.start())).collect();
    let state = |server: &Server| Mutex::new(Some((server.images_url(), 0)));
    let balancer = Balancer {
        nodes: servers.iter().flatten().map(state).collect(),
    };
    let client = client();
    let ending = AtomicBool::new(false);
    let turns = AtomicU64::new(0);
    let clients = (0..4).map(|number| {
        let (client, balancer, ending, turns) = (&client, &balancer, &ending, &turns);
        async move {
            let mut acknowledged = 0;
            while !ending.load(Ordering::SeqCst) {
                let id = format!("{number}/{acknowledged}");
                let turn = turns.fetch_add(1, Ordering::SeqCst);
                let put = async |url: &str| put(client, url, &id).await;
                assert_eq!(balancer.send(turn, put).await, 200, "{id}");
                // By the next node, at once.
                let read = async |url: &str| {
                    let url = format!("{url}/v1/{}/blob", id.replace('/', "%2F"));
                    let sent = client.get(url).bearer_auth(API_TOKEN).send().await;
                    let answer = sent.expect("the node answers");
                    answer.bytes().await.expect("a body").to_vec()
                };
                let bytes = balancer.send(turn + 1, read).await;
                assert_eq!(bytes, picture::gif(id.as_bytes()), "{id}");
                acknowledged += 1;
            }
            acknowledged
        }
    });
    let restarts = async {
        for (place, server) in servers.iter_mut().enumerate() {
            // Out of the balancer; what is under way there ends.
            until(async || balancer.take_out(place)).await;
            let old = server.take().expect("it runs");
            let new = tokio::task::block_in_place(|| {
                assert!(old.terminate().success());
                nodes.start()
            });
            balancer.put_in(place, new.images_url());
            *server = Some(new);
            // Some requests by way of it.
            let enough = turns.load(Ordering::SeqCst) + 12;
            until(async || turns.load(Ordering::SeqCst) >= enough).await;
        }
        ending.store(true, Ordering::SeqCst);
    };
    let (acknowledged, ()) = tokio::join!(join_all(clients), restarts);
    let total: u64 = acknowledged.iter().sum();
    for node in servers.iter().flatten() {
        assert_eq!(listed(&client, node).await.len() as u64, total);
    }
}

async fn put(client: &Client, images_url: &str, id: &str) -> StatusCode {
    let file = reqwest::multipart::Part::bytes(picture::gif(id.as_bytes())).file_name("a.gif");
    let form = reqwest::multipart::Form::new()
        .text("id", id.to_owned())
        .part("file", file);
    let request = client.post(format!("{images_url}/v1"));
    let sent = request.bearer_auth(API_TOKEN).multipart(form).send().await;
    sent.expect("the node answers").status()
}
