//! Two nodes which create, edit and delete one image at the same time: whatever comes of each, there is
//! an order in which it could have come of them one after the other.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;
use reqwest::Client;
use serde_json::json;

use crate::nodes::{Nodes, blob, client, upload};
use crate::server::{API_TOKEN, Server};
use crate::{delete, get};

struct Random(u64);

impl Random {
    #[expect(clippy::print_stderr, reason = "the seed repeats a failed run")]
    fn new() -> Self {
        let given = std::env::var("CALOTYPE_FAULT_SEED").ok();
        let seed = given.and_then(|text| text.parse().ok()).unwrap_or_else(|| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            now.expect("after 1970").as_millis() as u64
        });
        eprintln!("CALOTYPE_FAULT_SEED={seed}");
        Self(seed | 1)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// What was asked of one id, and what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Did {
    Upload(u64, bool),
    Edit(u64, bool),
    Delete(bool),
}

/// An image of that id: which upload it is of, and its last edit.
type State = Option<(u64, u64)>;

impl Did {
    /// The state after it; `None` if it could not have had this outcome.
    fn after(self, state: State) -> Option<State> {
        match (self, state) {
            (Self::Upload(number, true), None) => Some(Some((number, 0))),
            (Self::Upload(_, false) | Self::Edit(_, true), Some(_))
            | (Self::Edit(_, false) | Self::Delete(false), None) => match (self, state) {
                (Self::Edit(edit, true), Some((number, _))) => Some(Some((number, edit))),
                _ => Some(state),
            },
            (Self::Delete(true), Some(_)) => Some(None),
            _ => None,
        }
    }
}

/// Whether there is an order of these, which agrees with the one in which they began and ended, in
/// which each has the outcome it had, and which leads from one state to the other.
fn is_linearisable(before: State, did: &[(Instant, Instant, Did)], after: State) -> bool {
    if did.is_empty() {
        return before == after;
    }
    (0..did.len()).any(|next| {
        let (began, _, what) = did[next];
        let may_be_next = did.iter().all(|(_, ended, _)| *ended >= began);
        let mut rest = did.to_vec();
        rest.remove(next);
        let state = what.after(before);
        may_be_next && state.is_some_and(|state| is_linearisable(state, &rest, after))
    })
}

#[test]
fn orders_which_cannot_be_are_told() {
    let at = Instant::now();
    let later = at + std::time::Duration::from_secs(1);
    let both = |one, other| vec![(at, at, one), (later, later, other)];
    let (up, no) = (Did::Upload(1, true), Did::Upload(2, false));
    assert!(is_linearisable(None, &both(up, no), Some((1, 0))));
    assert!(!is_linearisable(None, &both(no, up), Some((1, 0))));
    assert!(!is_linearisable(
        None,
        &both(up, Did::Upload(2, true)),
        Some((2, 0))
    ));
    assert!(is_linearisable(
        None,
        &both(up, Did::Edit(7, true)),
        Some((1, 7))
    ));
    assert!(!is_linearisable(
        None,
        &both(up, Did::Delete(true)),
        Some((1, 0))
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_and_s3_what_two_nodes_do_to_one_id_has_an_order() {
    let Some(nodes) = Nodes::new() else { return };
    let (one, other) = nodes.start_two();
    let client = client();
    let mut random = Random::new();
    let mut state: State = None;
    let mut number = 0;
    for round in 0..25 {
        let calls = (0..6).map(|call| {
            number += 1;
            let node = if call % 2 == 0 { &one } else { &other };
            ask(&client, node, random.below(4), number)
        });
        let calls: Vec<_> = calls.collect();
        let did = join_all(calls).await;
        let after = settled(&client, &one, &other).await;
        assert!(
            is_linearisable(state, &did, after),
            "round {round}: {state:?} {did:#?} {after:?}"
        );
        state = after;
    }
}

/// One request about the id.
async fn ask(client: &Client, node: &Server, what: u64, number: u64) -> (Instant, Instant, Did) {
    let began = Instant::now();
    let did = match what {
        0 | 1 => {
            let comment = number.to_string();
            let (status, answer) = upload(client, node, "one/id", comment.as_bytes()).await;
            assert!(matches!(status.as_u16(), 200 | 409), "{status} {answer}");
            Did::Upload(number, status == 200)
        }
        2 => {
            let url = format!("{}/v1/one%2Fid", node.images_url());
            let edit = json!({ "metadata": { "edit": number } });
            let sent = client.patch(url).bearer_auth(API_TOKEN).json(&edit).send();
            let status = sent.await.expect("the node answers").status();
            assert!(matches!(status.as_u16(), 200 | 404), "{status}");
            Did::Edit(number, status == 200)
        }
        _ => {
            let status = delete(client, node, "one/id").await;
            assert!(matches!(status.as_u16(), 200 | 404), "{status}");
            Did::Delete(status == 200)
        }
    };
    (began, Instant::now(), did)
}

/// What both nodes say when neither remembers anything older.
async fn settled(client: &Client, one: &Server, other: &Server) -> State {
    let start = Instant::now();
    loop {
        // Nodes see each other's writes within a second: before, they are asked to have something to remember.
        let is_over = start.elapsed().as_millis() > 1_000;
        let mut states = Vec::new();
        for node in [one, other] {
            let (status, answer) = get(client, node, "one/id").await;
            let (bytes_status, bytes) = blob(client, node, "one%2Fid").await;
            assert!(
                !is_over || status == bytes_status,
                "{status} {bytes_status}"
            );
            let edit = answer["result"]["meta"]["edit"].as_u64().unwrap_or(0);
            let is_there = bytes_status == 200;
            states.push(is_there.then(|| (number_of(&bytes), edit)));
        }
        if is_over {
            assert_eq!(states[0], states[1]);
            return states[0];
        }
    }
}

/// Which upload these bytes are of.
fn number_of(bytes: &[u8]) -> u64 {
    let length = usize::from(bytes[21]);
    let text = std::str::from_utf8(&bytes[22..22 + length]).expect("the comment is text");
    text.parse().expect("the comment is a number")
}
