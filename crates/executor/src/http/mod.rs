//! The HTTP interface that Wegent's manager uses.
//!
//! A request passes `server` (connections), `routes` and one handler; handlers know the runs only as
//! [`Turns`](crate::runs::Turns). Four things are special here:
//!
//! * **A held answer.** While the manager waits for the answer to a cancel it takes no callback, so callbacks
//!   are kept back until the answer's last byte was handed to the socket. `release` says how.
//! * **Work outlives its request.** A cancel whose caller hangs up goes on; it belongs to the server, not to
//!   the connection (`background`).
//! * **Whoever connects may mean ill.** `door` asks for the executor's token, where it has one; `seats` has silent
//!   connections give way; heads, bodies and the taking of answers (`impatient`) have time limits.
//! * **Bodies are big** (images come inline): they are read as a stream under a limit and decoded off the
//!   runtime's threads (`body`).
//!
//! Errors are `{"detail": "…"}` with a fitting status, as Wegent's callers expect.

mod answer;
mod archive;
mod background;
mod bind;
mod body;
mod cancel;
mod capabilities;
mod door;
mod execute;
mod history;
mod impatient;
mod parameters;
mod release;
mod responses;
mod routes;
mod seats;
mod server;
mod sessions;
mod sync;
mod workspace;

pub(crate) use answer::Refusal;
pub use bind::routes as bind;
pub use capabilities::routes as capabilities;
pub use server::{BindError, Server};
pub use sync::Syncing;
pub use workspace::WorkspaceFiles;
