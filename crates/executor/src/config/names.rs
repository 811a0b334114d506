//! The names of the variables that the executor reads. No other place spells them.

/// Address to listen on; an IP address or `localhost`. Default `0.0.0.0`.
pub const HOST: &str = "HOST";
/// Port to listen on. Default 10001; 0 takes any free one.
pub const PORT: &str = "PORT";
/// `docker` makes the bare binary serve, with full access for agents.
pub const EXECUTOR_MODE: &str = "EXECUTOR_MODE";
/// The container's name, echoed in every callback.
pub const EXECUTOR_NAME: &str = "EXECUTOR_NAME";
/// The container's namespace, echoed in every callback if known.
pub const EXECUTOR_NAMESPACE: &str = "EXECUTOR_NAMESPACE";
/// A whole task as JSON, as Wegent's manager of January 2026 passes it; it is run at the start.
pub const TASK_INFO: &str = "TASK_INFO";
/// Seconds after the start before which the end of the task in [`TASK_INFO`] isn't told. Default 5.
pub const WEGENT_TASK_INFO_HOLD_SECONDS: &str = "WEGENT_TASK_INFO_HOLD_SECONDS";
/// The form of callbacks, `responses` or `cumulative`. Default: the one that belongs to the request.
pub const WEGENT_CALLBACK_PROTOCOL: &str = "WEGENT_CALLBACK_PROTOCOL";
/// Whether turns with a flat payload go on with the conversation before. Default on.
pub const CODE_SHELL_RESUME_ENABLED: &str = "CODE_SHELL_RESUME_ENABLED";
/// Whether Codex may run turns. Default on.
pub const CODEX_SHELL_ENABLED: &str = "CODEX_SHELL_ENABLED";
/// Whether what Codex does is kept in a file in the task's state folder. Default off.
pub const CODEX_PERSIST_EVENT_STREAM: &str = "CODEX_PERSIST_EVENT_STREAM";
/// What that file is called. Default `codex-events.jsonl`.
pub const CODEX_EVENT_STREAM_FILENAME: &str = "CODEX_EVENT_STREAM_FILENAME";
/// Where callbacks are posted. Without it they are dropped.
pub const CALLBACK_URL: &str = "CALLBACK_URL";
/// Base URL of Wegent's backend; goes before [`TASK_API_DOMAIN`].
pub const WEGENT_BACKEND_URL: &str = "WEGENT_BACKEND_URL";
/// Base URL of Wegent's backend, as the manager passes it.
pub const TASK_API_DOMAIN: &str = "TASK_API_DOMAIN";
/// Whose life the heartbeats tell of.
pub const HEARTBEAT_ID: &str = "HEARTBEAT_ID";
/// A sandbox's id, used where [`HEARTBEAT_ID`] isn't set.
pub const SANDBOX_ID: &str = "SANDBOX_ID";
/// `task` or `sandbox`. Default `sandbox`.
pub const HEARTBEAT_TYPE: &str = "HEARTBEAT_TYPE";
/// Whether heartbeats are sent. Default: only in warm-pool mode.
pub const HEARTBEAT_ENABLED: &str = "HEARTBEAT_ENABLED";
/// Seconds between two heartbeats. Default 10.
pub const HEARTBEAT_INTERVAL: &str = "HEARTBEAT_INTERVAL";
/// Where heartbeats go. Default: [`CALLBACK_URL`] without its `/callback`.
pub const HEARTBEAT_BASE_URL: &str = "EXECUTOR_MANAGER_HEARTBEAT_BASE_URL";
/// The container is started ahead of its task and learns the heartbeat's id from the first one.
pub const WARM_POOL_MODE: &str = "WARM_POOL_MODE";
/// Another spelling of [`WARM_POOL_MODE`]; either one is enough.
pub const EXECUTOR_WARMPOOL_MODE: &str = "EXECUTOR_WARMPOOL_MODE";
/// Whether the routes of a sandbox answer in a container that is none. Default off.
pub const WEGENT_SANDBOX_ROUTES: &str = "WEGENT_SANDBOX_ROUTES";
/// The folder that holds the tasks' workspaces. Default `/workspace`.
pub const WORKSPACE_ROOT: &str = "WORKSPACE_ROOT";
/// Another spelling of [`WORKSPACE_ROOT`], read where that one isn't set.
pub const WEGENT_WORKSPACE_ROOT: &str = "WEGENT_WORKSPACE_ROOT";
/// The executor's own state. Default `~/.wegent-executor`.
pub const WEGENT_EXECUTOR_HOME: &str = "WEGENT_EXECUTOR_HOME";
/// One Codex home shared by all tasks, for trusted tasks only. Default: one per task.
pub const WEGENT_CODEX_HOME: &str = "WEGENT_CODEX_HOME";
/// The Codex CLI. Default: looked up on `PATH` when it is needed.
pub const CODEX_BINARY_PATH: &str = "CODEX_BINARY_PATH";
/// Another spelling of [`CODEX_BINARY_PATH`], read where that one isn't set.
pub const CODEX_BIN: &str = "CODEX_BIN";
/// Seconds that Codex may take to answer one request. Default 300.
pub const WEGENT_CODEX_RPC_TIMEOUT_SECONDS: &str = "WEGENT_CODEX_RPC_TIMEOUT_SECONDS";
/// Seconds that a Codex turn may take to show its first progress. Default 180.
pub const WEGENT_CODEX_TURN_STARTUP_TIMEOUT_SECONDS: &str =
    "WEGENT_CODEX_TURN_STARTUP_TIMEOUT_SECONDS";
/// Seconds after which an idle Codex app-server is given back. Default 600.
pub const WEGENT_CODEX_IDLE_SECONDS: &str = "WEGENT_CODEX_IDLE_SECONDS";
/// Seconds for which a question of Codex's stays open in its process. Default 3600.
pub const WEGENT_CODEX_QUESTION_SECONDS: &str = "WEGENT_CODEX_QUESTION_SECONDS";
/// When Codex asks the person whether it may do something: `never`, `on-request` or `untrusted`. Default `never`.
pub const WEGENT_CODEX_APPROVALS: &str = "WEGENT_CODEX_APPROVALS";
/// Seconds of silence in the middle of a Codex turn, with no tool running, that end it. Default 600.
pub const WEGENT_CODEX_SILENCE_SECONDS: &str = "WEGENT_CODEX_SILENCE_SECONDS";
/// Seconds that a whole Codex turn may take. Default 86400.
pub const WEGENT_CODEX_TURN_TIMEOUT_SECONDS: &str = "WEGENT_CODEX_TURN_TIMEOUT_SECONDS";
/// How many Codex app-servers may be alive at once. Default 32.
pub const WEGENT_CODEX_MAX_SERVERS: &str = "WEGENT_CODEX_MAX_SERVERS";
/// Gives tasks of the ClaudeCode shell to Codex where their model speaks the Responses API. Default off.
pub const WEGENT_ROUTE_RESPONSES_MODELS_TO_CODEX: &str = "WEGENT_ROUTE_RESPONSES_MODELS_TO_CODEX";
/// How many skills are downloaded at once, 1 to 64. Default 3.
pub const WEGENT_SKILL_DOWNLOAD_CONCURRENCY: &str = "WEGENT_SKILL_DOWNLOAD_CONCURRENCY";
/// The Claude Code CLI. Default: looked up in `~/.local/bin` and on `PATH` when it is needed.
pub const CLAUDE_BINARY_PATH: &str = "CLAUDE_BINARY_PATH";
/// Another spelling of [`CLAUDE_BINARY_PATH`], read where that one isn't set.
pub const CLAUDE_BIN: &str = "CLAUDE_BIN";
/// Seconds that a whole Claude Code turn may take. Default 86400.
pub const WEGENT_CLAUDE_CODE_PROCESS_TIMEOUT_SECONDS: &str =
    "WEGENT_CLAUDE_CODE_PROCESS_TIMEOUT_SECONDS";
/// Seconds that a Claude Code turn may take to show anything. Default 300.
pub const WEGENT_CLAUDE_CODE_TURN_STARTUP_TIMEOUT_SECONDS: &str =
    "WEGENT_CLAUDE_CODE_TURN_STARTUP_TIMEOUT_SECONDS";
/// Seconds of silence in the middle of a Claude Code turn, with no tool running, that end it. Default 600.
pub const WEGENT_CLAUDE_CODE_SILENCE_SECONDS: &str = "WEGENT_CLAUDE_CODE_SILENCE_SECONDS";
/// Seconds after which an idle Claude Code process is given back. Default 600.
pub const WEGENT_CLAUDE_CODE_IDLE_SECONDS: &str = "WEGENT_CLAUDE_CODE_IDLE_SECONDS";
/// Whether Claude Code reaches the model through our key proxy. Default on.
pub const WEGENT_CLAUDE_CODE_KEY_PROXY: &str = "WEGENT_CLAUDE_CODE_KEY_PROXY";
/// Whether a turn that was cut off by a restart is run again, where it needs no secret of its request. Default off.
pub const WEGENT_RERUN_AFTER_RESTART: &str = "WEGENT_RERUN_AFTER_RESTART";
/// Seconds that a turn may take, its preparation included. Default: no limit.
pub const WEGENT_LIMIT_SECONDS: &str = "WEGENT_LIMIT_SECONDS";
/// How often the model may answer in a turn. Default: no limit but the request's.
pub const WEGENT_LIMIT_TURNS: &str = "WEGENT_LIMIT_TURNS";
/// How many tokens a turn's model may read and write. Default: no limit.
pub const WEGENT_LIMIT_TOKENS: &str = "WEGENT_LIMIT_TOKENS";
/// What a turn may cost in US dollars; Codex doesn't tell. Default: no limit.
pub const WEGENT_LIMIT_COST_USD: &str = "WEGENT_LIMIT_COST_USD";
/// Seconds in which nothing may happen in a turn, whether a tool runs or not. Default: no limit.
pub const WEGENT_LIMIT_IDLE_SECONDS: &str = "WEGENT_LIMIT_IDLE_SECONDS";
/// How many bytes a turn may say and have its tools give out. Default: no limit.
pub const WEGENT_LIMIT_OUTPUT_BYTES: &str = "WEGENT_LIMIT_OUTPUT_BYTES";
/// How many questions a turn may leave open; 0 for none. Default: no limit.
pub const WEGENT_LIMIT_QUESTIONS: &str = "WEGENT_LIMIT_QUESTIONS";
/// Rule files of a repository that its agents are told, relative paths separated by commas. Default
/// `.cursorrules,.windsurfrules`.
pub const CUSTOM_INSTRUCTION_FILES: &str = "CUSTOM_INSTRUCTION_FILES";
/// A script that runs before every turn, in its working folder.
pub const WEGENT_HOOK_PRE_EXECUTE: &str = "WEGENT_HOOK_PRE_EXECUTE";
/// Seconds that the script may take. Default 30.
pub const WEGENT_HOOK_PRE_EXECUTE_TIMEOUT: &str = "WEGENT_HOOK_PRE_EXECUTE_TIMEOUT";
/// Whether a turn whose script fails is not run. Default off: the person is told, and it is run.
pub const WEGENT_HOOK_PRE_EXECUTE_REQUIRED: &str = "WEGENT_HOOK_PRE_EXECUTE_REQUIRED";
/// A command that runs before and after every edit of a file.
pub const WEGENT_FILE_EDIT_HOOK_COMMAND: &str = "WEGENT_FILE_EDIT_HOOK_COMMAND";
/// Seconds that the command may take. Default 30.
pub const WEGENT_FILE_EDIT_HOOK_TIMEOUT: &str = "WEGENT_FILE_EDIT_HOOK_TIMEOUT";
/// Whether an edit must not be made when the command fails. Default off: the turn goes on.
pub const WEGENT_FILE_EDIT_HOOK_REQUIRED: &str = "WEGENT_FILE_EDIT_HOOK_REQUIRED";
/// Gives agents full access outside docker mode.
pub const WEGENT_FULL_ACCESS: &str = "WEGENT_FULL_ACCESS";
/// What is logged, as `tracing` directives such as `info,executor=debug`. Default `info`.
pub const WEGENT_LOG: &str = "WEGENT_LOG";
/// Rust's usual name for [`WEGENT_LOG`], read where that one isn't set.
pub const RUST_LOG: &str = "RUST_LOG";
/// The key of encrypted git tokens, 32 bytes. Default: the platform's own.
pub const GIT_TOKEN_AES_KEY: &str = "GIT_TOKEN_AES_KEY";
/// The initialisation vector of encrypted git tokens, 16 bytes. Default: the platform's own.
pub const GIT_TOKEN_AES_IV: &str = "GIT_TOKEN_AES_IV";
/// Proxies by git server, as JSON.
pub const REPO_PROXY_CONFIG: &str = "REPO_PROXY_CONFIG";
/// Git servers, separated by commas, from which nothing is cloned without a token.
pub const PROTECTED_GIT_CREDENTIAL_DOMAINS: &str = "PROTECTED_GIT_CREDENTIAL_DOMAINS";
/// Branches that tools can't push to by accident, separated by commas; `none` for none. Default `main,master,release/*`.
pub const WEGENT_PROTECTED_BRANCHES: &str = "WEGENT_PROTECTED_BRANCHES";
/// How many commits of a repository's history are cloned. Default: all.
pub const WEGENT_GIT_DEPTH: &str = "WEGENT_GIT_DEPTH";
/// What a clone leaves out until it is needed: `blob:none` or `tree:0`. Default: nothing.
pub const WEGENT_GIT_FILTER: &str = "WEGENT_GIT_FILTER";
/// Seconds that a clone may take. Default 1800.
pub const WEGENT_GIT_CLONE_TIMEOUT_SECONDS: &str = "WEGENT_GIT_CLONE_TIMEOUT_SECONDS";
/// What whoever asks has to bring as `Authorization: Bearer …`. Default: nobody has to bring anything.
pub const WEGENT_EXECUTOR_TOKEN: &str = "WEGENT_EXECUTOR_TOKEN";
/// The largest request body in MiB. Default 128, at least 64.
pub const WEGENT_MAX_BODY_MIB: &str = "WEGENT_MAX_BODY_MIB";
/// The largest file, or folder as a zip, that is downloaded from a workspace, in MiB. Default 500.
pub const MAX_WORKSPACE_DOWNLOAD_MB: &str = "MAX_WORKSPACE_DOWNLOAD_MB";
/// The model's key for `wegent-executor run`; tasks bring their own.
pub const OPENAI_API_KEY: &str = "OPENAI_API_KEY";
/// The model's key for `wegent-executor run --shell claudecode`; tasks bring their own.
pub const ANTHROPIC_API_KEY: &str = "ANTHROPIC_API_KEY";
/// The user's home folder.
pub const HOME: &str = "HOME";
/// Where programs are looked for.
pub const PATH: &str = "PATH";
/// The proxy for `http` URLs; the lower-case name goes first, as everywhere.
pub const HTTP_PROXY: [&str; 2] = ["http_proxy", "HTTP_PROXY"];
/// The proxy for `https` URLs.
pub const HTTPS_PROXY: [&str; 2] = ["https_proxy", "HTTPS_PROXY"];
/// The proxy for URLs without one of their own.
pub const ALL_PROXY: [&str; 2] = ["all_proxy", "ALL_PROXY"];
/// Hosts that are reached without a proxy. Loopback always is.
pub const NO_PROXY: [&str; 2] = ["no_proxy", "NO_PROXY"];
