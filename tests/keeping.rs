//! Whole stores, by the real program beside a real server: checked, moved, kept and brought back.
//!
//! `CALOTYPE_KILL_ROUNDS` sets how often each command is killed and `CALOTYPE_KILL_SEED` repeats the
//! choices of a run (though not its timing). `CALOTYPE_FAULT_SEED` damages a backup in the same places.

#[path = "keeping/backups.rs"]
mod backups;
#[path = "keeping/checks.rs"]
mod checks;
#[path = "keeping/deletions.rs"]
mod deletions;
#[path = "keeping/exports.rs"]
mod exports;
#[path = "keeping/kills.rs"]
mod kills;
#[path = "keeping/moves.rs"]
mod moves;
#[path = "support/picture.rs"]
mod picture;
#[path = "keeping/place.rs"]
mod place;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/s3.rs"]
mod s3;
#[path = "support/server.rs"]
mod server;
#[path = "keeping/strangers.rs"]
mod strangers;
#[path = "keeping/traffic.rs"]
mod traffic;
#[path = "support/until.rs"]
mod until;
