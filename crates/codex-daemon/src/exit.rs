//! Exit codes, the same for every command.

/// It worked.
pub const SUCCESS: u8 = 0;
/// It didn't, or the question failed.
pub const FAILURE: u8 = 1;
/// The command line or the configuration is wrong.
pub const USAGE: u8 = 2;
/// No daemon is running.
pub const NOT_RUNNING: u8 = 3;
/// Another daemon or another program has the socket.
pub const OTHER_OWNER: u8 = 4;
/// A file or folder can't be trusted; the message says what mends it.
pub const UNSAFE_PATH: u8 = 5;
/// The process that answered was lost.
pub const LOST: u8 = 6;
/// The daemon is not well; the reasons are printed.
pub const UNHEALTHY: u8 = 7;
/// The question was interrupted.
pub const INTERRUPTED: u8 = 130;

/// What they mean, for `--help`.
pub const ABOUT: &str = "\
Exit codes: 0 it worked; 1 it failed; 2 wrong usage or configuration; 3 no daemon is running; 4 another program or \
daemon has the socket; 5 a file or folder can't be trusted; 6 the answering process was lost; 7 not healthy; \
130 interrupted.";
