//! The `/codex-*` commands of Claude Code, all from here: the files, the help, the table in the documents.
//!
//! Claude Code puts what the person wrote into a command's text as it is, also inside of a shell block, where a quote or a
//! `$(…)` would become a part of the program. So no block has an argument in it: a command with an argument tells Claude
//! which program to run, and Claude quotes. Only that program is allowed beforehand.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

use crate::protocol::Settings;

/// A command.
#[derive(Clone, Copy, Debug)]
pub struct SlashCommand {
    /// Its name, without the slash.
    pub name: &'static str,
    /// What is written behind it.
    pub hint: &'static str,
    /// What it does.
    pub about: &'static str,
    /// The same in a shell.
    pub shell: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// The shell command is run before Claude reads anything.
    Fixed,
    /// Claude asks the question.
    Ask,
    /// Claude runs the shell command with one of these words for its last.
    Choice(&'static [&'static str]),
}

/// What turns something on and off.
pub const SWITCH: [&str; 2] = ["on", "off"];

/// Every command.
pub const COMMANDS: [SlashCommand; 7] = [
    SlashCommand {
        name: "codex-ask",
        hint: "<question>",
        about: "Ask Codex in this folder's session",
        shell: "codex-daemon ask --file -",
        kind: Kind::Ask,
    },
    SlashCommand {
        name: "codex-config",
        hint: "none|minimal|low|medium|high|xhigh",
        about: "Set how hard Codex thinks in this session",
        shell: "codex-daemon set --effort",
        kind: Kind::Choice(&Settings::EFFORTS),
    },
    SlashCommand {
        name: "codex-status",
        hint: "",
        about: "Show how the daemon and Codex are",
        shell: "codex-daemon slash status",
        kind: Kind::Fixed,
    },
    SlashCommand {
        name: "codex-reasoning",
        hint: "on|off",
        about: "Show Codex's reasoning in this session, or don't",
        shell: "codex-daemon set --reasoning",
        kind: Kind::Choice(&SWITCH),
    },
    SlashCommand {
        name: "codex-final_only",
        hint: "on|off",
        about: "Show only Codex's final answer in this session, or all it does",
        shell: "codex-daemon set --final-only",
        kind: Kind::Choice(&SWITCH),
    },
    SlashCommand {
        name: "codex-reset",
        hint: "",
        about: "Let this session's conversation with Codex begin anew",
        shell: "codex-daemon slash reset",
        kind: Kind::Fixed,
    },
    SlashCommand {
        name: "codex-help",
        hint: "",
        about: "List the /codex-* commands",
        shell: "codex-daemon slash help",
        kind: Kind::Fixed,
    },
];

impl SlashCommand {
    /// The file that makes Claude Code know it.
    pub fn file(&self) -> String {
        let Self { about, shell, .. } = self;
        let head = format!("---\ndescription: {about}\n");
        match self.kind {
            Kind::Fixed => format!(
                "{head}allowed-tools: Bash({shell})\ndisable-model-invocation: true\n---\n!`{shell}`\n\n\
                 Show the person the text above as it is, in a code block. Do nothing else.\n"
            ),
            Kind::Ask => format!(
                "{head}argument-hint: {}\nallowed-tools: Bash({shell}:*)\n---\n{}",
                self.hint, ASK
            ),
            Kind::Choice(words) => format!(
                "{head}argument-hint: {}\nallowed-tools: Bash({shell}:*)\ndisable-model-invocation: true\n---\n\
                 Run this with one call of the Bash tool, with WORD replaced by the word between the two lines of \
                 dashes:\n\n    {shell} WORD\n\nAllowed are {}. With another word run it all the same: it says what is \
                 wrong. If there is no word, or more than one, or anything but letters, run nothing and say which are \
                 allowed. Show the person what the command printed, as it is, also if it failed. Do nothing else.\n\n\
                 ----\n$ARGUMENTS\n----\n",
                self.hint,
                words.join(", "),
            ),
        }
    }

    /// The same in a shell, as a person would write it.
    pub fn in_a_shell(&self) -> String {
        let program = self.shell.replace(" slash help", " commands");
        let program = program.replace(" slash", "").replace(" --file -", "");
        match self.kind {
            Kind::Fixed => program,
            Kind::Ask => format!("{program} \"…\""),
            Kind::Choice(words) => format!("{program} {}", words[words.len() - 2]),
        }
    }
}

const ASK: &str = "\
Ask Codex, another coding agent, with one call of the Bash tool and a timeout of 600000 ms, in exactly this form, so that
the shell takes nothing in the question for its own:

    codex-daemon ask --file - <<'CODEX_QUESTION'
    the question
    CODEX_QUESTION

The question is all that stands between the two lines of dashes, word for word and without indentation. Don't answer it
yourself. If nothing stands there, run nothing and ask the person for the question. Show the person what the command
printed, as it is; if it failed, its error and its exit code. Try nothing else.

----
$ARGUMENTS
----
";

/// The commands as a person reads them.
pub fn help() -> String {
    let mut text = String::new();
    for command in &COMMANDS {
        let call = format!("/{} {}", command.name, command.hint);
        text.push_str(&format!(
            "{}\n    {}.\n    In a shell: {}\n",
            call.trim_end(),
            command.about,
            command.in_a_shell()
        ));
    }
    text.push_str(
        "Every folder has its own session, which survives restarts. `codex-daemon --help` lists what else there is.\n",
    );
    text
}

/// Writes the commands into a folder of commands, and takes those away that an older version had. Other files are left
/// alone, and so are files that are right already.
///
/// # Errors
/// What the system says, with the path.
pub fn write(folder: &Path) -> Result<(), (PathBuf, io::Error)> {
    let at = |path: &Path| {
        let path = path.to_owned();
        |error| (path, error)
    };
    fs::create_dir_all(folder).map_err(at(folder))?;
    for command in &COMMANDS {
        let path = folder.join(format!("{}.md", command.name));
        let text = command.file();
        if fs::read_to_string(&path).is_ok_and(|there| there == text) {
            continue;
        }
        // Another one may read or write it at this moment.
        let new = folder.join(format!(".{}.{}", command.name, std::process::id()));
        fs::write(&new, text).map_err(at(&new))?;
        fs::rename(&new, &path).map_err(at(&path))?;
    }
    let entries = fs::read_dir(folder).map_err(at(folder))?;
    for entry in entries.flatten() {
        if is_obsolete(&entry.file_name()) {
            fs::remove_file(entry.path()).map_err(at(&entry.path()))?;
        }
    }
    Ok(())
}

fn is_obsolete(name: &OsStr) -> bool {
    let ours = name.to_str().and_then(|name| name.strip_suffix(".md"));
    ours.is_some_and(|name| {
        name.starts_with("codex-") && !COMMANDS.iter().any(|command| command.name == name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_has_the_same_commands() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.claude/commands");
        for command in &COMMANDS {
            let path = folder.join(format!("{}.md", command.name));
            let there = fs::read_to_string(&path).unwrap_or_default();
            assert_eq!(
                there,
                command.file(),
                "{}: run `codex-daemon commands --write .claude/commands`",
                path.display()
            );
        }
        let count = fs::read_dir(folder).unwrap().count();
        assert_eq!(count, COMMANDS.len());
    }

    #[test]
    fn no_argument_gets_into_a_shell_block() {
        for command in &COMMANDS {
            let text = command.file();
            let blocks = text.matches("!`").count();
            assert_eq!(blocks > 0, !text.contains("$ARGUMENTS"), "{text}");
        }
    }

    #[test]
    fn files_are_written_once_and_old_ones_go() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("commands");
        write(&folder).unwrap();
        let ask = folder.join("codex-ask.md");
        let before = fs::metadata(&ask).unwrap().modified().unwrap();
        fs::write(folder.join("codex-old.md"), "").unwrap();
        fs::write(folder.join("mine.md"), "").unwrap();
        fs::write(folder.join("codex-help.md"), "changed").unwrap();
        write(&folder).unwrap();
        assert_eq!(fs::metadata(&ask).unwrap().modified().unwrap(), before);
        assert!(!folder.join("codex-old.md").exists() && folder.join("mine.md").exists());
        let help = fs::read_to_string(folder.join("codex-help.md")).unwrap();
        assert!(help.contains("slash help"), "{help}");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), COMMANDS.len() + 1);
    }
}
