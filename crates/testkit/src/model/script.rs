//! The scripts by name.

use std::{fmt, str::FromStr};

macro_rules! scripts {
    ($($name:literal $variant:ident $about:literal)*) => {
        /// What the model does with a request.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Script {
            $(#[doc = $about] $variant,)*
        }

        impl Script {
            /// All scripts.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name, as the marker `#script:NAME` has it.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it does, in a line.
            pub fn about(self) -> &'static str {
                match self { $(Self::$variant => $about,)* }
            }
        }
    };
}

scripts! {
    "text" Text "Twelve short text deltas, then done."
    "echo" Echo "Says the last user text back, word by word."
    "spell" Spell "As echo, letter by letter."
    "remember" Remember "Names every user text of the request, so that a second turn shows what it knows."
    "reasoning" Reasoning "A reasoning item with two parts, then a final text."
    "two_messages" TwoMessages "Two messages with nothing between them."
    "commentary_tool_final" CommentaryToolFinal "A comment, a shell call, a final text; all texts fixed."
    "mixed" Mixed "Text, reasoning and a shell call, then a final text."
    "shell" Shell "A comment and a shell call (`#cmd:COMMAND`), then a text that quotes the output."
    "background" Background "A shell call that goes on in the background (`#cmd:COMMAND`), then a text."
    "shell_escalated" ShellEscalated "A shell call that asks for escalated permissions."
    "parallel" Parallel "Two shell calls in one answer, then a final text."
    "patch" Patch "Adds the file hello_model.txt (apply_patch, or Write), then a final text."
    "edit" Edit "Edits a file by apply_patch, or Read and Edit (`#cmd:PATH|OLD LINE|NEW LINE`; no old line adds the file)."
    "mcp" Mcp "Calls the first MCP tool offered (`#cmd:{json}` are its arguments), then a final text."
    "form" Form "Calls the form tool (`#cmd:{json}` are its arguments), again after each correction, then a text that quotes the answer."
    "plan" Plan "A list of steps (update_plan, TodoWrite or TaskCreate), then a final text."
    "exit_plan" ExitPlan "An ExitPlanMode call with a plan, then a text that quotes the answer."
    "ask" Ask "A request_user_input or AskUserQuestion call (`#cmd:multi` allows several answers), then a text that quotes the answer."
    "subagent" Subagent "A sub-agent in the foreground (`#cmd:PROMPT` is its prompt, with `\n` for line breaks), then a final text."
    "subagent_late" SubagentLate "The same in the background."
    "bad_tool_json" BadToolJson "A shell call whose arguments are half a JSON object, then a text that quotes the output."
    "unknown_tool" UnknownTool "A call of a tool that nobody offered, then a text that quotes the output."
    "tool" Tool "Calls a tool by name (`#cmd:NAME {json}`), then a text that quotes its output."
    "calls" Calls "Calls several tools in one answer (`#cmd:[[\"NAME\", {json}], …]`), then a text that quotes the last output."
    "tools_list" ToolsList "A text that names every tool offered."
    "websearch" WebSearch "A hosted web search, then a text."
    "slow" Slow "One short delta after each slow delay."
    "hang" Hang "The answer's head, then silence (or pings) until the client goes (at most 600 s)."
    "silent" Silent "No byte of an answer until the client goes (at most 600 s)."
    "slow_start" SlowStart "Ten slow delays of silence before the answer's head, then text."
    "loop" Loop "Calls the shell in every answer and never finishes."
    "huge" Huge "A huge text in many deltas."
    "one_big" OneBig "A huge text in one delta."
    "unicode" Unicode "Graphemes split over deltas, UTF-8 sequences split over writes."
    "empty" Empty "Completes without any output."
    "garbage" Garbage "Malformed JSON and an unknown event in the stream, then a text."
    "failed" Failed "An error inside the stream: response.failed (server_error), or an error event (overloaded_error)."
    "context_full" ContextFull "The context is exceeded: response.failed (context_length_exceeded), or HTTP 400."
    "nearly_full" NearlyFull "A text, and token figures of a context that is nearly full."
    "incomplete" Incomplete "Some text, then the end for its length: response.incomplete, or stop reason max_tokens."
    "refusal" Refusal "A text that refuses; with the stop reason refusal, where there is one."
    "truncated" Truncated "A few deltas, then the stream ends without an end of the answer."
    "disconnect" Disconnect "A few deltas, then the connection closes; every time."
    "disconnect_once" DisconnectOnce "As disconnect for the first request, then another text."
    "disconnect_equal_once" DisconnectEqualOnce "Closes after some deltas; the retry says the same and goes on."
    "disconnect_differ_once" DisconnectDifferOnce "Closes after some deltas; the retry begins the same and goes on differently."
    "reset" Reset "A few deltas, then the connection is reset; every time."
    "flaky" Flaky "HTTP 500 for the first two requests, then text."
    "err400" Err400 "HTTP 400 invalid_request_error."
    "err401" Err401 "HTTP 401 invalid_api_key, or authentication_error."
    "err403" Err403 "HTTP 403 forbidden, or permission_error."
    "err404" Err404 "HTTP 404 model_not_found, or not_found_error."
    "err413" Err413 "HTTP 413 request_too_large."
    "err429" Err429 "HTTP 429 rate_limit_exceeded or rate_limit_error, with Retry-After: 1."
    "quota" Quota "Nothing is paid: HTTP 429 insufficient_quota, or 400 with the provider's words."
    "usage_limit" UsageLimit "HTTP 429 usage_limit_reached, as subscription plans have it; or rate_limit_error."
    "err500" Err500 "HTTP 500 server_error, or api_error."
    "err503" Err503 "HTTP 503 server_is_overloaded, or api_error."
    "err529" Err529 "HTTP 529 overloaded_error."
}

impl Script {
    /// Whether it answers with an HTTP error, or not at all.
    pub(super) fn refuses(self) -> bool {
        matches!(
            self,
            Self::Silent
                | Self::Flaky
                | Self::Quota
                | Self::UsageLimit
                | Self::Err400
                | Self::Err401
                | Self::Err403
                | Self::Err404
                | Self::Err413
                | Self::Err429
                | Self::Err500
                | Self::Err503
                | Self::Err529
        )
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No script has that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no script `{0}`")]
pub struct UnknownScript(pub String);

impl FromStr for Script {
    type Err = UnknownScript;

    fn from_str(name: &str) -> Result<Self, UnknownScript> {
        Self::ALL
            .iter()
            .copied()
            .find(|script| script.name() == name)
            .ok_or_else(|| UnknownScript(name.to_owned()))
    }
}
