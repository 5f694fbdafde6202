//! An acknowledged image is never lost: the real program is killed in the middle of its work, again
//! and again, and must come back with everything it had said yes to.
//!
//! Eight clients upload, edit and delete until SIGKILL. What was acknowledged must hold after the
//! restart; what was under way may have happened or not, as a whole. At the end no file may be left
//! which belongs to no image. All of this holds on SQLite and files, and on PostgreSQL and S3.
//!
//! `CALOTYPE_KILL_ROUNDS` sets the number of kills and `CALOTYPE_KILL_SEED` repeats the choices of
//! a run (though not its timing).

#[path = "support/picture.rs"]
mod picture;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/s3.rs"]
mod s3;
#[path = "support/server.rs"]
mod server;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::StreamExt as _;
use reqwest::multipart::{Form, Part};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use store::{Blobs, Bucket, BucketUrl};

use server::{API_TOKEN, Server, Settings};

const WORKERS: u64 = 8;
/// Images which one worker keeps at most, so that every round can look at all of them.
const IMAGES_MAX: usize = 30;
const SLOTS: u64 = 12;
/// Longer than any upload here takes, so that the sweeper never meets one under way.
const BLOB_GRACE: &str = "10s";
const SWEEP_DEADLINE: Duration = Duration::from_secs(90);

#[test]
fn nothing_acknowledged_is_lost_by_a_kill() {
    kill(10, |data_dir| Place {
        data_dir,
        shared: None,
    });
}

#[test]
fn on_postgres_and_s3_nothing_acknowledged_is_lost_by_a_kill() {
    let (Some(database), Some(bucket)) = (postgres::database(), s3::prefix()) else {
        return;
    };
    kill(4, |data_dir| Place {
        data_dir,
        shared: Some((database, bucket)),
    });
}

/// Where a server keeps what it acknowledged.
struct Place {
    data_dir: PathBuf,
    shared: Option<(String, s3::Prefix)>,
}

impl Place {
    fn start(&self, sweep_interval: &str) -> Server {
        let mut settings = Settings::new()
            .data_dir(&self.data_dir)
            .set("blob-grace", BLOB_GRACE)
            .set("sweep-interval", sweep_interval);
        if let Some((database, bucket)) = &self.shared {
            settings = settings
                .set("database", database)
                .set("blobs", &bucket.url)
                .set("s3-endpoint", &bucket.endpoint)
                .set("s3-access-key-id", s3::KEY.0)
                .set("s3-secret-access-key", s3::KEY.1);
        }
        settings.start()
    }

    /// The names of everything in the folder or bucket.
    async fn stored(&self) -> Vec<String> {
        let mut names = Vec::new();
        let Some((_, bucket)) = &self.shared else {
            files_below(&self.data_dir.join("blobs"), &mut names);
            return names;
        };
        let blobs = Blobs::bucket(&Bucket {
            url: BucketUrl::parse(&bucket.url).expect("a bucket"),
            endpoint: Some(bucket.endpoint.clone()),
            region: None,
            path_style: true,
            credentials: Some((s3::KEY.0.to_owned(), s3::KEY.1.to_owned())),
        });
        let mut listed = blobs.expect("the bucket opens").list();
        while let Some(found) = listed.next().await {
            let (key, _) = found.expect("the bucket is listed");
            names.push(key.to_string());
        }
        names
    }
}

#[expect(clippy::print_stderr, reason = "the seed repeats a failed run")]
fn kill(rounds: u64, place: impl FnOnce(PathBuf) -> Place) {
    let rounds = setting("CALOTYPE_KILL_ROUNDS").unwrap_or(rounds);
    let seed = setting("CALOTYPE_KILL_SEED").unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.expect("after 1970").as_millis() as u64
    });
    eprintln!("CALOTYPE_KILL_SEED={seed} CALOTYPE_KILL_ROUNDS={rounds}");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let workers = runtime.block_on(kill_again_and_again(
        &place(folder.path().join("data")),
        rounds,
        seed,
    ));
    let sum = |count: fn(&Worker) -> u64| workers.iter().map(count).sum::<u64>();
    eprintln!(
        "{} requests were acknowledged; of {} under way at a kill {} had been carried out",
        sum(|worker| worker.acknowledged),
        sum(|worker| worker.doubts),
        sum(|worker| worker.carried_out),
    );
}

async fn kill_again_and_again(place: &Place, rounds: u64, seed: u64) -> Vec<Worker> {
    let mut random = Random(seed);
    let mut workers: Vec<_> = (0..WORKERS)
        .map(|number| Worker::new(number, random.next()))
        .collect();

    for round in 1..=rounds {
        let server = place.start("1s");
        let api = Api::new(&server);
        let killed = Arc::new(AtomicBool::new(false));
        let tasks: Vec<_> = workers
            .drain(..)
            .map(|worker| tokio::spawn(worker.work(api.clone(), Arc::clone(&killed))))
            .collect();
        // Not to wait for something, but to strike at no particular moment.
        tokio::time::sleep(Duration::from_millis(50 + random.below(1451))).await;
        killed.store(true, Ordering::SeqCst);
        server.kill9();
        for task in tasks {
            workers.push(task.await.expect("no client met anything but the kill"));
        }

        let server = place.start("1h");
        let everything = round % 25 == 0;
        check(&Api::new(&server), &mut workers, round, everything).await;
        assert!(server.terminate().success(), "round {round}");
    }

    let acknowledged: u64 = workers.iter().map(|worker| worker.acknowledged).sum();
    assert!(acknowledged > rounds, "hardly anything was done");

    let server = place.start("100ms");
    let api = Api::new(&server);
    check(&api, &mut workers, rounds + 1, true).await;
    let images = workers.iter().map(|worker| worker.images.len()).sum();
    sweeps_down_to(images, place).await;
    check(&api, &mut workers, rounds + 2, true).await;
    assert!(server.terminate().success());
    workers
}

/// Settles what was in doubt, then compares everything with what the clients were told. The bytes of images
/// which were read before are read again where everything is, which takes the longer the more there are.
async fn check(api: &Api, workers: &mut [Worker], round: u64, everything: bool) {
    let listed = api.list().await;
    for worker in &mut *workers {
        worker.settle(&listed);
    }
    let known: HashSet<&str> = workers
        .iter()
        .flat_map(|worker| &worker.images)
        .map(|image| image.id.as_str())
        .collect();
    for id in listed.keys() {
        assert!(known.contains(id.as_str()), "round {round}: {id} came back");
    }
    for worker in &mut *workers {
        for image in &mut worker.images {
            let entry = listed
                .get(&image.id)
                .unwrap_or_else(|| panic!("round {round}: {image:?} is lost"));
            assert_eq!(entry["meta"], image.metadata(), "round {round}: {entry}");
            assert_eq!(entry["requireSignedURLs"], image.private, "{entry}");
            if image.was_read && !everything {
                continue;
            }
            image.was_read = true;
            let (status, bytes) = api.blob(&image.id).await;
            assert_eq!(status, StatusCode::OK, "round {round}: {image:?}");
            assert!(
                bytes == image.picture(),
                "round {round}: the bytes of {image:?} are other ones"
            );
        }
        for id in worker.deleted.drain(..) {
            if !listed.contains_key(&id) {
                let (status, _) = api.blob(&id).await;
                assert_eq!(status, StatusCode::NOT_FOUND, "round {round}: {id}");
                assert_eq!(api.status(&id).await, StatusCode::NOT_FOUND, "{id}");
            }
        }
    }
    assert_eq!(
        api.stored().await,
        listed.len() as u64,
        "round {round}: the statistics differ from the list"
    );
}

/// Waits until there is one blob for every image and no other.
async fn sweeps_down_to(images: usize, place: &Place) {
    let deadline = Instant::now() + SWEEP_DEADLINE;
    loop {
        let files = place.stored().await;
        if files.len() == images {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{} files for {images} images: {files:#?}",
            files.len()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn files_below(folder: &Path, files: &mut Vec<String>) {
    // The sweeper may take a folder away while it is being read.
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            files_below(&entry.path(), files);
        } else {
            files.push(entry.path().display().to_string());
        }
    }
}

/// One client, and what it was told.
struct Worker {
    number: u64,
    random: Random,
    images: Vec<Image>,
    /// Deletions acknowledged since the last check.
    deleted: Vec<String>,
    /// What was sent and not answered.
    doubt: Option<Doubt>,
    uploads: u64,
    acknowledged: u64,
    doubts: u64,
    carried_out: u64,
}

/// An image as its uploader knows it.
#[derive(Clone, Debug)]
struct Image {
    /// Empty while an image without an id of its own is on its way.
    id: String,
    /// Names the upload, also where its id was never heard of.
    upload: String,
    seed: u64,
    edit: u64,
    private: bool,
    /// Whether its bytes were read since it was written.
    was_read: bool,
}

/// The request under way when the server died: it was carried out as a whole or not at all.
enum Doubt {
    Upload(Image),
    /// The image at this index may look like this one, in metadata or in access.
    Edit(usize, Image),
    Delete(usize),
}

impl Image {
    fn metadata(&self) -> Value {
        json!({"upload": self.upload, "edit": self.edit})
    }

    fn picture(&self) -> Vec<u8> {
        let mut random = Random(self.seed);
        let length = random.below(20_000);
        let comment: Vec<_> = (0..length).map(|_| random.next() as u8).collect();
        picture::gif(&comment)
    }

    /// The same image after a change of access, which shows in the last digit of its id.
    fn with_other_access(&self) -> Self {
        let digit = if self.private { '0' } else { '1' };
        let mut other = self.clone();
        other.id.pop();
        other.id.push(digit);
        other.private = !self.private;
        other.was_read = false;
        other
    }

    /// Whether its uploader chose its id, which excludes a change of access.
    fn is_custom(&self) -> bool {
        self.id.contains('/')
    }
}

impl Worker {
    fn new(number: u64, seed: u64) -> Self {
        Self {
            number,
            random: Random(seed),
            images: Vec::new(),
            deleted: Vec::new(),
            doubt: None,
            uploads: 0,
            acknowledged: 0,
            doubts: 0,
            carried_out: 0,
        }
    }

    /// Sends one request after another until the server is gone.
    async fn work(mut self, api: Api, killed: Arc<AtomicBool>) -> Self {
        loop {
            match self.step(&api).await {
                Ok(()) => self.acknowledged += 1,
                Err(error) => {
                    assert!(killed.load(Ordering::SeqCst), "before the kill: {error:?}");
                    return self;
                }
            }
        }
    }

    async fn step(&mut self, api: &Api) -> Result<(), reqwest::Error> {
        let count = self.images.len();
        if count == 0 {
            return self.upload(api).await;
        }
        let index = self.random.below(count as u64) as usize;
        match self.random.below(10) {
            0..=3 if count < IMAGES_MAX => self.upload(api).await,
            4 if count < IMAGES_MAX => self.upload_directly(api).await,
            5 | 6 => self.edit(api, index).await,
            7 if !self.images[index].is_custom() => self.change_access(api, index).await,
            _ => self.delete(api, index).await,
        }
    }

    fn new_image(&mut self) -> Image {
        self.uploads += 1;
        Image {
            id: String::new(),
            upload: format!("{}-{}", self.number, self.uploads),
            seed: self.random.next(),
            edit: 0,
            private: false,
            was_read: false,
        }
    }

    async fn upload(&mut self, api: &Api) -> Result<(), reqwest::Error> {
        let mut image = self.new_image();
        let slot = self.random.below(SLOTS);
        let id = format!("worker {}/slot {slot}", self.number);
        // A deleted custom id is free again; so is one half of the time none at all.
        if self.random.below(2) == 0 && self.images.iter().all(|image| image.id != id) {
            image.id = id;
        }
        self.doubt = Some(Doubt::Upload(image.clone()));
        let answer = api.upload(&image).await?;
        self.doubt = None;
        text(&answer["id"]).clone_into(&mut image.id);
        self.images.push(image);
        Ok(())
    }

    async fn upload_directly(&mut self, api: &Api) -> Result<(), reqwest::Error> {
        let mut image = self.new_image();
        // Nothing is in doubt yet: a draft is in no list.
        let draft = api.draft(&image).await?;
        text(&draft["id"]).clone_into(&mut image.id);
        self.doubt = Some(Doubt::Upload(image.clone()));
        api.send(text(&draft["uploadURL"]), &image).await?;
        self.doubt = None;
        self.images.push(image);
        Ok(())
    }

    async fn edit(&mut self, api: &Api, index: usize) -> Result<(), reqwest::Error> {
        let mut edited = self.images[index].clone();
        edited.edit += 1;
        edited.was_read = false;
        let body = json!({"metadata": edited.metadata()});
        self.patch(api, index, edited, &body).await
    }

    async fn change_access(&mut self, api: &Api, index: usize) -> Result<(), reqwest::Error> {
        let changed = self.images[index].with_other_access();
        let body = json!({"requireSignedURLs": changed.private});
        self.patch(api, index, changed, &body).await
    }

    async fn patch(
        &mut self,
        api: &Api,
        index: usize,
        changed: Image,
        body: &Value,
    ) -> Result<(), reqwest::Error> {
        let id = self.images[index].id.clone();
        self.doubt = Some(Doubt::Edit(index, changed.clone()));
        let answer = api.patch(&id, body).await?;
        self.doubt = None;
        assert_eq!(answer["id"], changed.id);
        self.images[index] = changed;
        Ok(())
    }

    async fn delete(&mut self, api: &Api, index: usize) -> Result<(), reqwest::Error> {
        self.doubt = Some(Doubt::Delete(index));
        api.delete(&self.images[index].id).await?;
        self.doubt = None;
        self.deleted.push(self.images.swap_remove(index).id);
        Ok(())
    }

    /// Finds out whether the request which was under way has been carried out.
    fn settle(&mut self, listed: &HashMap<String, Value>) {
        let Some(doubt) = self.doubt.take() else {
            return;
        };
        self.doubts += 1;
        match doubt {
            Doubt::Upload(mut image) => {
                let found = listed
                    .iter()
                    .find(|(_, entry)| entry["meta"]["upload"] == image.upload);
                if let Some((id, _)) = found {
                    assert!(image.id.is_empty() || image.id == *id, "{image:?}: {id}");
                    image.id.clone_from(id);
                    self.images.push(image);
                    self.carried_out += 1;
                }
            }
            Doubt::Edit(index, changed) => {
                let entry = listed.get(&changed.id);
                if entry.is_some_and(|entry| {
                    entry["meta"] == changed.metadata()
                        && entry["requireSignedURLs"] == changed.private
                }) {
                    self.images[index] = changed;
                    self.carried_out += 1;
                }
            }
            Doubt::Delete(index) => {
                if !listed.contains_key(&self.images[index].id) {
                    self.deleted.push(self.images.swap_remove(index).id);
                    self.carried_out += 1;
                }
            }
        }
    }
}

/// The calls of the public API which the clients make. An error is a broken connection; any answer
/// but the expected one ends the test.
#[derive(Clone)]
struct Api {
    client: Client,
    images_url: String,
}

impl Api {
    fn new(server: &Server) -> Self {
        // The second and later calls of one process find it installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().no_proxy().timeout(Duration::from_mins(1));
        Self {
            client: client.build().expect("a client"),
            images_url: server.images_url(),
        }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}/{path}", self.images_url))
            .bearer_auth(API_TOKEN)
    }

    /// A request for one image, whose id is written as one segment.
    fn image(&self, method: Method, id: &str, rest: &str) -> RequestBuilder {
        let id = id.replace('/', "%2F").replace(' ', "%20");
        self.request(method, &format!("v1/{id}{rest}"))
    }

    async fn upload(&self, image: &Image) -> Result<Value, reqwest::Error> {
        let mut form = fields(image);
        if !image.id.is_empty() {
            form = form.text("id", image.id.clone());
        }
        let form = form.part("file", file(image));
        result(self.request(Method::POST, "v1").multipart(form)).await
    }

    async fn draft(&self, image: &Image) -> Result<Value, reqwest::Error> {
        let request = self.request(Method::POST, "v2/direct_upload");
        result(request.multipart(fields(image))).await
    }

    async fn send(&self, url: &str, image: &Image) -> Result<Value, reqwest::Error> {
        let form = Form::new().part("file", file(image));
        result(self.client.post(url).multipart(form)).await
    }

    async fn patch(&self, id: &str, body: &Value) -> Result<Value, reqwest::Error> {
        result(self.image(Method::PATCH, id, "").json(body)).await
    }

    async fn delete(&self, id: &str) -> Result<Value, reqwest::Error> {
        result(self.image(Method::DELETE, id, "")).await
    }

    async fn status(&self, id: &str) -> StatusCode {
        let answer = self.image(Method::GET, id, "").send().await;
        answer.expect("the server is up").status()
    }

    async fn blob(&self, id: &str) -> (StatusCode, Vec<u8>) {
        let answer = self.image(Method::GET, id, "/blob").send().await;
        let answer = answer.expect("the server is up");
        let status = answer.status();
        let bytes = answer.bytes().await.expect("the whole body");
        (status, bytes.to_vec())
    }

    /// Every listed image by its id.
    async fn list(&self) -> HashMap<String, Value> {
        let mut listed = HashMap::new();
        let mut token = String::new();
        loop {
            let query = format!("v2?per_page=100&continuation_token={token}");
            let page = result(self.request(Method::GET, &query)).await;
            let mut page = page.expect("the server is up");
            for entry in page["images"].as_array_mut().expect("a list") {
                let id = text(&entry["id"]).to_owned();
                let double = listed.insert(id, entry.take());
                assert!(double.is_none(), "listed twice: {double:?}");
            }
            match page["continuation_token"].as_str() {
                Some(next) => next.clone_into(&mut token),
                None => return listed,
            }
        }
    }

    /// How many images the statistics count.
    async fn stored(&self) -> u64 {
        let stats = result(self.request(Method::GET, "v1/stats")).await;
        let stats = stats.expect("the server is up");
        stats["count"]["current"].as_u64().expect("a number")
    }
}

fn fields(image: &Image) -> Form {
    Form::new().text("metadata", image.metadata().to_string())
}

fn file(image: &Image) -> Part {
    Part::bytes(image.picture()).file_name("picture.gif")
}

/// The `result` of a successful answer.
async fn result(request: RequestBuilder) -> Result<Value, reqwest::Error> {
    let answer = request.send().await?;
    let (status, url) = (answer.status(), answer.url().clone());
    let bytes = answer.bytes().await?;
    let words = String::from_utf8_lossy(&bytes);
    assert_eq!(status, StatusCode::OK, "{url}: {words}");
    let mut body: Value = serde_json::from_slice(&bytes).expect("an envelope");
    Ok(body["result"].take())
}

/// The text in a JSON value.
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

fn setting(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value}")))
}

/// Numbers which a seed repeats (`SplitMix64`).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below this one.
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}
