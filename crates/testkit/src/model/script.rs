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
    "remember" Remember "Names every user text of the request, so that a second turn shows what it knows."
    "reasoning" Reasoning "A reasoning item with two parts, then a final text."
    "two_messages" TwoMessages "Two messages with nothing between them."
    "commentary_tool_final" CommentaryToolFinal "A comment, a shell call, a final text; all texts fixed."
    "mixed" Mixed "Text, reasoning and a shell call, then a final text."
    "shell" Shell "A comment and a shell call (`#cmd:COMMAND`), then a text that quotes the output."
    "shell_escalated" ShellEscalated "A shell call that asks for escalated permissions."
    "parallel" Parallel "Two shell calls in one answer, then a final text."
    "patch" Patch "Adds the file hello_model.txt by apply_patch, then a final text."
    "edit" Edit "Edits a file by apply_patch (`#cmd:PATH|OLD LINE|NEW LINE`; no old line adds the file)."
    "mcp" Mcp "Calls the first MCP tool offered (`#cmd:{json}` are its arguments), then a final text."
    "plan" Plan "An update_plan call, then a final text."
    "ask" Ask "A request_user_input call, then a text that quotes the answer."
    "tool" Tool "Calls a tool by name (`#cmd:NAME {json}`), then a text that quotes its output."
    "tools_list" ToolsList "A text that names every tool offered."
    "websearch" WebSearch "A hosted web search, then a text."
    "slow" Slow "One short delta after each slow delay."
    "hang" Hang "The answer's head, then silence until the client goes (at most 600 s)."
    "slow_start" SlowStart "Ten slow delays of silence before the answer's head, then text."
    "loop" Loop "Calls the shell in every answer and never finishes."
    "huge" Huge "A huge text in many deltas."
    "one_big" OneBig "A huge text in one delta."
    "unicode" Unicode "Graphemes split over deltas, UTF-8 sequences split over writes."
    "empty" Empty "Completes without any output."
    "garbage" Garbage "Malformed JSON and an unknown event in the stream, then a text."
    "failed" Failed "response.failed (server_error) inside the stream."
    "context_full" ContextFull "response.failed (context_length_exceeded) inside the stream."
    "incomplete" Incomplete "Some text, then response.incomplete (max_output_tokens)."
    "disconnect" Disconnect "A few deltas, then the connection closes; every time."
    "disconnect_once" DisconnectOnce "As disconnect for the first request, then another text."
    "disconnect_equal_once" DisconnectEqualOnce "Closes after some deltas; the retry says the same and goes on."
    "disconnect_differ_once" DisconnectDifferOnce "Closes after some deltas; the retry begins the same and goes on differently."
    "reset" Reset "A few deltas, then the connection is reset; every time."
    "flaky" Flaky "HTTP 500 for the first two requests, then text."
    "err400" Err400 "HTTP 400 invalid_request_error."
    "err401" Err401 "HTTP 401 invalid_api_key."
    "err403" Err403 "HTTP 403 forbidden."
    "err404" Err404 "HTTP 404 model_not_found."
    "err429" Err429 "HTTP 429 rate_limit_exceeded with Retry-After: 1."
    "quota" Quota "HTTP 429 insufficient_quota."
    "usage_limit" UsageLimit "HTTP 429 usage_limit_reached, as subscription plans have it."
    "err500" Err500 "HTTP 500 server_error."
    "err503" Err503 "HTTP 503 server_is_overloaded."
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
