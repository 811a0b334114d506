//! The turn on a terminal: text as it comes, a line per tool call, the end with its token figures.

use std::{
    collections::HashMap,
    io::{self, IsTerminal, Write as _},
};

use serde_json::Value;
use testkit::Callback;

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const CYAN: &str = "36";

/// How much of a tool's argument is shown, in characters.
const ARGUMENT: usize = 100;

/// What stands at the end of what was printed.
#[derive(PartialEq, Eq)]
enum Cursor {
    /// An empty line.
    Free,
    /// Text of the answer or of a thought.
    Text,
    /// The line of a tool call that still runs.
    Tool(String),
}

/// The terminal.
pub(crate) struct Screen {
    colours: bool,
    cursor: Cursor,
    /// The line of each tool call, by its block's id.
    tools: HashMap<String, String>,
}

impl Screen {
    /// Colours are used at a terminal only, and only if they are wanted.
    pub(crate) fn new(colours_wanted: bool) -> Self {
        let colours = colours_wanted && io::stdout().is_terminal();
        Self {
            colours,
            cursor: Cursor::Free,
            tools: HashMap::new(),
        }
    }

    /// Whether colours are used.
    pub(crate) fn has_colours(&self) -> bool {
        self.colours
    }

    /// A heading.
    pub(crate) fn title(&mut self, text: &str) {
        let text = self.painted(BOLD, text);
        self.line(&format!("\n{text}"));
    }

    /// What the person says.
    pub(crate) fn prompt(&mut self, text: &str) {
        let text = self.painted(CYAN, &format!("> {text}"));
        self.line(&format!("{text}\n"));
    }

    /// Text as it is.
    pub(crate) fn raw(&mut self, text: &str) {
        self.free_line();
        put(text);
    }

    /// What a callback brings.
    pub(crate) fn callback(&mut self, callback: &Callback) {
        let data = callback.data();
        match callback.event_type() {
            "response.output_text.delta" => self.text(&harmless(string(&data["delta"]))),
            "response.reasoning_summary_text.delta" => {
                let thought = self.painted(DIM, &harmless(string(&data["delta"])));
                self.text(&thought);
            }
            "response.block.created" => self.tool_begins(&data["block"]),
            "response.block.updated" => {
                self.tool_goes_on(string(&data["block_id"]), &data["updates"])
            }
            "response.completed" => {
                let usage = &data["response"]["usage"];
                let (input, output) = (&usage["input_tokens"], &usage["output_tokens"]);
                let word = self.painted(GREEN, "completed");
                self.line(&format!("{word}, {input} tokens in, {output} tokens out"));
            }
            "error" => {
                let word = self.painted(RED, "failed");
                self.line(&format!(
                    "{word} ({}): {}",
                    string(&data["code"]),
                    harmless(string(&data["message"]))
                ));
            }
            "response.incomplete" => {
                let word = self.painted(RED, "cancelled");
                self.line(&word);
            }
            _ => {}
        }
    }

    fn tool_begins(&mut self, block: &Value) {
        if block["type"] != "tool" {
            return;
        }
        let name = self.painted(BOLD, &harmless(string(&block["tool_name"])));
        let line = format!("  {name} {}", argument(&block["tool_input"]));
        let id = string(&block["id"]).to_owned();
        self.free_line();
        put(&line);
        self.tools.insert(id.clone(), line);
        self.cursor = Cursor::Tool(id);
    }

    fn tool_goes_on(&mut self, id: &str, updates: &Value) {
        let Some(line) = self.tools.get(id) else {
            return;
        };
        let status = match string(&updates["status"]) {
            "done" => self.painted(GREEN, "done"),
            "error" => self.painted(RED, "error"),
            _ => return,
        };
        if self.cursor == Cursor::Tool(id.to_owned()) {
            put(&format!("  {status}\n"));
            self.cursor = Cursor::Free;
        } else {
            let line = format!("{line}  {status}");
            self.line(&line);
        }
    }

    fn text(&mut self, text: &str) {
        if matches!(self.cursor, Cursor::Tool(_)) {
            self.free_line();
        }
        put(text);
        self.cursor = if text.ends_with('\n') {
            Cursor::Free
        } else {
            Cursor::Text
        };
    }

    fn line(&mut self, text: &str) {
        self.free_line();
        put(&format!("{text}\n"));
    }

    fn free_line(&mut self) {
        if self.cursor != Cursor::Free {
            put("\n");
            self.cursor = Cursor::Free;
        }
    }

    fn painted(&self, colour: &str, text: &str) -> String {
        if self.colours {
            format!("\x1b[{colour}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

fn put(text: &str) {
    let mut out = io::stdout().lock();
    // Whether somebody reads it makes no difference to the verdict.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn string(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Without what would steer the terminal.
fn harmless(text: &str) -> String {
    text.chars()
        .filter(|character| !character.is_control() || matches!(character, '\n' | '\t'))
        .collect()
}

/// The most telling argument of a tool call, on one line.
fn argument(input: &Value) -> String {
    let telling = ["command", "file_path", "query"]
        .iter()
        .find_map(|name| input[*name].as_str());
    let text = telling.map_or_else(|| input.to_string(), str::to_owned);
    let line = text.lines().next().unwrap_or_default();
    harmless(line).chars().take(ARGUMENT).collect()
}
