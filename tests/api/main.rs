//! The management API and delivery over real sockets, in process: every test has a server of its
//! own on a free port, over a database and files in a temporary folder.

mod access;
mod attacks;
mod bad_forms;
mod bad_input;
mod batch;
mod binding;
mod cf_image;
mod delivery;
mod direct_upload;
mod drawing_attacks;
mod drawing_fetches;
mod explain;
mod flows;
mod harness;
mod http2_attacks;
mod id_attacks;
mod images;
mod keys_and_variants;
mod leaving;
mod lists;
mod load;
mod metrics;
#[path = "../support/noise.rs"]
mod noise;
#[path = "../support/origin.rs"]
mod origin;
#[path = "../support/picture.rs"]
mod picture;
mod protocol_attacks;
mod purge;
mod ready;
#[path = "../support/receiver.rs"]
mod receiver;
mod remote;
mod remote_attacks;
mod remote_caching;
mod remote_errors;
mod signed;
mod sources;
#[path = "../support/until.rs"]
mod until;
mod webhooks;
mod zones;
