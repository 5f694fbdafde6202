//! The built program from outside: settings, commands, exit codes, and the pages made from them.

mod catalog;
mod documents;
mod program;
mod remote;
#[path = "../support/server.rs"]
mod server;
mod settings;
mod sign;
mod transform;
mod usage;
