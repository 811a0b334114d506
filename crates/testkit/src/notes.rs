//! What a fake CLI has said, written down by itself.
//!
//! A fake that was [installed with notes](crate::roles::install_noting) writes what its turns say into a file before it
//! says it. So a test can compare what a person was shown with what there was to be shown, whatever became of the fake,
//! the executor and the executor's own journal.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    clock,
    model::{Said, Spoken, ToolCall},
};

/// One thing that a fake said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// When it was about to say it, see [`clock::now_micros`].
    pub at: u64,
    /// The fake's own name of its turn. A prompt that is tried again is another turn.
    pub turn: String,
    /// What it said.
    #[serde(flatten)]
    pub said: Noted,
}

/// What a fake said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "said", rename_all = "snake_case")]
pub enum Noted {
    /// A piece of a message.
    Text {
        /// The piece.
        delta: String,
    },
    /// The message is complete.
    Complete,
    /// A tool is called.
    Tool {
        /// The command.
        command: String,
    },
}

/// Where a fake writes its notes; by default nowhere.
#[derive(Clone, Debug, Default)]
pub struct Notebook(Option<PathBuf>);

impl Notebook {
    /// Notes go to the end of this file.
    pub fn at(path: PathBuf) -> Self {
        Self(Some(path))
    }

    pub(crate) fn write(&self, turn: &str, said: Noted) {
        let Some(path) = &self.0 else {
            return;
        };
        let note = Note {
            at: clock::now_micros(),
            turn: turn.to_owned(),
            said,
        };
        if let Err(error) = append(path, &note) {
            // A test that compares finds that nothing was said.
            eprintln!("fake: {}: {error}", path.display());
        }
    }
}

fn append(path: &Path, note: &Note) -> io::Result<()> {
    let mut line = serde_json::to_string(note)?;
    line.push('\n');
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    // One write: several fakes share the file, and one may be killed at any moment.
    file.write_all(line.as_bytes())
}

/// The notes in a file, in their order. None if there is no file; a line that a kill cut off is left out.
///
/// # Errors
/// If the file can't be read.
pub fn read(path: &Path) -> io::Result<Vec<Note>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// The notes of one turn, in the form in which a model's words are compared with what was shown.
pub fn spoken<'a>(notes: impl IntoIterator<Item = &'a Note>) -> Spoken {
    let mut said: Vec<Said> = Vec::new();
    let mut open: Option<String> = None;
    let message = |text: String, complete: bool| Said::Text {
        id: String::new(),
        phase: None,
        text,
        complete,
    };
    for note in notes {
        match &note.said {
            Noted::Text { delta } => open.get_or_insert_default().push_str(delta),
            Noted::Complete => said.extend(open.take().map(|text| message(text, true))),
            Noted::Tool { command } => said.push(Said::Tool(ToolCall {
                call: String::new(),
                name: "shell".to_owned(),
                namespace: None,
                arguments: command.clone(),
            })),
        }
    }
    said.extend(open.map(|text| message(text, false)));
    Spoken(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_read_back_without_what_was_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes");
        assert_eq!(read(&path).unwrap(), []);
        let notebook = Notebook::at(path.clone());
        let text = |delta: &str| Noted::Text {
            delta: delta.to_owned(),
        };
        for said in [text("a "), text("b"), Noted::Complete, text("c")] {
            notebook.write("t", said);
        }
        let whole = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{whole}{{\"at\":")).unwrap();
        let notes = read(&path).unwrap();
        assert_eq!(notes.len(), 4);
        let spoken = spoken(&notes);
        assert_eq!((spoken.0.len(), spoken.text().as_str()), (2, "a b"));
    }
}
