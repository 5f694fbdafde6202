//! Three nodes behind a balancer of load, restarted one after the other while clients go on.

use std::io::ErrorKind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;

use crate::nodes::{Nodes, client};
use crate::server::{ACCOUNT_HASH, ACCOUNT_ID, API_TOKEN, Server};
use crate::until::until;
use crate::{listed, picture};

/// A balancer of load. It makes no more connections to a node which is to end, and uses those which it has
/// until that closes them. As nginx does, it asks the next node where one refuses a connection, or closes
/// one which was kept without a word of an answer. Any other failure is a request which was lost.
struct Balancer {
    nodes: Vec<Mutex<Node>>,
}

/// As the balancer knows it.
struct Node {
    address: String,
    kept: Vec<TcpStream>,
    under_way: usize,
    /// Of those under way, on connections which were made for them: the node may not know of these yet.
    on_new: usize,
    is_to_end: bool,
}

impl Node {
    fn new(server: &Server) -> Self {
        Self {
            address: server.address().to_owned(),
            kept: Vec::new(),
            under_way: 0,
            on_new: 0,
            is_to_end: false,
        }
    }
}

impl Balancer {
    fn with<T>(&self, place: usize, look: impl FnOnce(&mut Node) -> T) -> T {
        look(&mut self.nodes[place].lock().expect("nobody panics with it"))
    }

    /// Sends a request to the node whose turn it is, or to one after it.
    async fn send(&self, turn: u64, request: &[u8]) -> (u16, Vec<u8>) {
        let count = self.nodes.len();
        for step in 0..2 * count {
            let place = (turn as usize + step) % count;
            let taken = self.with(place, |node| {
                let kept = node.kept.pop();
                let is_new = kept.is_none();
                if is_new && node.is_to_end {
                    return None;
                }
                node.under_way += 1;
                node.on_new += usize::from(is_new);
                Some((node.address.clone(), kept, is_new))
            });
            let Some((address, kept, is_new)) = taken else {
                continue;
            };
            let answer = ask(&address, kept, request).await;
            let answered = self.with(place, |node| {
                // It may be another one by now.
                let is_same = node.address == address;
                node.under_way -= usize::from(is_same);
                node.on_new -= usize::from(is_same && is_new);
                let Answer { status, body, kept } = answer?;
                node.kept.extend(kept.filter(|_| is_same));
                Some((status, body))
            });
            if let Some(answered) = answered {
                return answered;
            }
        }
        panic!("no node answers");
    }
}

struct Answer {
    status: u16,
    body: Vec<u8>,
    /// The connection, for the next request.
    kept: Option<TcpStream>,
}

/// `None` if another node is to be asked.
async fn ask(address: &str, kept: Option<TcpStream>, request: &[u8]) -> Option<Answer> {
    let was_kept = kept.is_some();
    let mut stream = match kept {
        Some(stream) => stream,
        None => match TcpStream::connect(address).await {
            Ok(stream) => stream,
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => return None,
            Err(error) => panic!("a node cannot be reached: {error}"),
        },
    };
    let sent = stream.write_all(request).await;
    let mut bytes = Vec::new();
    match read_answer(&mut stream, &mut bytes).await {
        Some((status, body, keeps)) => Some(Answer {
            status,
            body,
            kept: keeps.then_some(stream),
        }),
        None if was_kept && bytes.is_empty() => None,
        None => panic!(
            "a request was lost, {sent:?}, on a {} connection: {} … {:?}",
            if was_kept { "kept" } else { "new" },
            String::from_utf8_lossy(&request[..40]),
            String::from_utf8_lossy(&bytes)
        ),
    }
}

/// Status, body, and whether the connection stays; `None` if it ends before that.
async fn read_answer(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<(u16, Vec<u8>, bool)> {
    let mut piece = [0; 4_096];
    loop {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
            let header = |name| head.lines().find_map(|line| line.strip_prefix(name));
            let length = header("content-length: ").and_then(|text| text.parse::<usize>().ok());
            let length = length.unwrap_or_else(|| panic!("no length: {head}"));
            if bytes.len() >= end + 4 + length {
                let keeps = header("connection: ") != Some("close");
                return Some((status.expect("a status"), bytes[end + 4..].to_vec(), keeps));
            }
        }
        match stream.read(&mut piece).await {
            Ok(count @ 1..) => bytes.extend_from_slice(&piece[..count]),
            Ok(0) | Err(_) => return None,
        }
    }
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {API_TOKEN}\r\n\r\n").into()
}

fn upload(id: &str) -> Vec<u8> {
    let mut body = format!(
        "--part\r\nContent-Disposition: form-data; name=\"id\"\r\n\r\n{id}\r\n\
         --part\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.gif\"\r\n\r\n"
    )
    .into_bytes();
    body.extend(picture::gif(id.as_bytes()));
    body.extend(b"\r\n--part--\r\n");
    let head = format!(
        "POST {IMAGES}/v1 HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {API_TOKEN}\r\n\
         Content-Type: multipart/form-data; boundary=part\r\nContent-Length: {}\r\n\r\n",
        body.len(),
        IMAGES = images(),
    );
    [head.into_bytes(), body].concat()
}

fn images() -> String {
    format!("/client/v4/accounts/{ACCOUNT_ID}/images")
}

/// Uploads, and has the next nodes give and deliver what was uploaded at once; returns how many images.
async fn work(number: u64, balancer: &Balancer, turns: &AtomicU64, ending: &AtomicBool) -> u64 {
    let mut acknowledged = 0;
    while !ending.load(Ordering::SeqCst) {
        let id = format!("{number}/{acknowledged}");
        let turn = turns.fetch_add(1, Ordering::SeqCst);
        let (status, answer) = balancer.send(turn, &upload(&id)).await;
        assert_eq!(status, 200, "{id}: {}", String::from_utf8_lossy(&answer));
        let blob = get(&format!("{}/v1/{number}%2F{acknowledged}/blob", images()));
        let read = balancer.send(turn + 1, &blob).await;
        assert_eq!(read, (200, picture::gif(id.as_bytes())), "{id}");
        // Twice, so that nodes have it ready.
        let delivery = get(&format!("/{ACCOUNT_HASH}/{id}/public"));
        for turn in [turn + 2, turn + 2, turn + 3] {
            let (status, bytes) = balancer.send(turn, &delivery).await;
            assert_eq!(status, 200, "{id}");
            assert!(bytes.ends_with(b"\xff\xd9"), "{id}: {bytes:?}");
        }
        acknowledged += 1;
    }
    acknowledged
}

/// An upload which the node has read half of when it is told to end, and which it still takes.
struct HalfUpload {
    stream: TcpStream,
    rest: Vec<u8>,
}

impl HalfUpload {
    async fn begin(server: &Server, id: &str) -> Self {
        let mut request = upload(id);
        // It is asked to say that it goes on, by which it is known to have read the head.
        let end = request.windows(4).position(|four| four == b"\r\n\r\n");
        let rest = request.split_off(end.expect("a head") + 2);
        request.extend(b"Expect: 100-continue\r\n\r\n");
        let mut stream = TcpStream::connect(server.address())
            .await
            .expect("it listens");
        stream.write_all(&request).await.expect("it reads");
        let mut word = [0; 25];
        stream.read_exact(&mut word).await.expect("it answers");
        assert_eq!(&word, b"HTTP/1.1 100 Continue\r\n\r\n");
        Self {
            stream,
            rest: rest[2..].to_vec(),
        }
    }

    async fn end(mut self) {
        self.stream.write_all(&self.rest).await.expect("it reads");
        let answer = read_answer(&mut self.stream, &mut Vec::new()).await;
        let (status, answer, _) = answer.expect("what is under way is ended");
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&answer));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_and_s3_a_rolling_restart_fails_no_request() {
    let Some(nodes) = Nodes::new() else { return };
    let mut servers: Vec<Server> = (0..3).map(|_| nodes.start()).collect();
    let balancer = &Balancer {
        nodes: servers.iter().map(Node::new).map(Mutex::new).collect(),
    };
    let (ending, turns) = (&AtomicBool::new(false), &AtomicU64::new(0));
    let clients = (0..6).map(|number| work(number, balancer, turns, ending));
    let restarts = async {
        for place in 0..servers.len() {
            let half = HalfUpload::begin(&servers[place], &format!("half/{place}")).await;
            let has_two = |node: &mut Node| node.kept.len() + node.under_way > 1;
            until(async || balancer.with(place, has_two)).await;
            balancer.with(place, |node| node.is_to_end = true);
            // Requests are under way there when it is told to end, and connections are kept.
            until(async || {
                balancer.with(place, |node| {
                    node.on_new == 0 && node.under_way > 0 && !node.kept.is_empty()
                })
            })
            .await;
            let old = servers.remove(place);
            let address = old.address().to_owned();
            let ended = spawn_blocking(move || old.terminate());
            until(async || TcpStream::connect(&address).await.is_err()).await;
            half.end().await;
            assert!(ended.await.expect("it ends").success());
            let settings = nodes.settings();
            let new = spawn_blocking(move || settings.start()).await;
            let new = new.expect("it starts");
            balancer.with(place, |node| *node = Node::new(&new));
            servers.insert(place, new);
            // Some requests by way of it.
            let enough = turns.load(Ordering::SeqCst) + 12;
            until(async || turns.load(Ordering::SeqCst) >= enough).await;
        }
        ending.store(true, Ordering::SeqCst);
    };
    let (acknowledged, ()) = tokio::join!(join_all(clients), restarts);
    let total = acknowledged.iter().sum::<u64>() + 3;
    for node in &servers {
        assert_eq!(listed(&client(), node).await.len() as u64, total);
    }
}
