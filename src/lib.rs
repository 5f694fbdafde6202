//! Calotype: a self-hosted image service which speaks the Cloudflare Images API. The program is
//! `main.rs`; this library is for its tests.

pub mod cli;
pub mod client;
pub mod config;
pub mod http;
mod log;
