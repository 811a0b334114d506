//! The supervisor against real processes. This binary is its own guard and plays its own helpers.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test panics like the test"
)]

mod ladder;
mod pipes;
mod roles;
mod scene;
mod session;
mod spawn;
mod stale;
mod sweep;

/// Runs before `main`, which belongs to the test harness.
#[ctor::ctor]
fn before_main() {
    supervisor::run_guard_if_asked();
    roles::play_if_asked();
}
