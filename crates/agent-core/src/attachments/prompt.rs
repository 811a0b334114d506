//! The prompt, with attachments in it.
//!
//! Wegent writes of attachments in three ways: `[attachment:<id>]`, the path that a file has in a sandbox, and that path
//! after `File Path(already in sandbox): `. All become the path on this machine. What the text doesn't say is appended:
//! what is missing and why, what there is, and for Codex how text files begin.

use std::path::Path;

use super::{Delivery, Local, image, preview};
use crate::{AgentKind, Attachment, Prompt, PromptPart, TaskId};

const MENTION: &str = "[attachment:";
const IN_SANDBOX: &str = "File Path(already in sandbox): ";
const HERE: &str = "Local File Path: ";

/// The prompt as `agent` is to get it. Reads the files, and may scale images: it takes its time and blocks.
pub fn into_prompt(
    prompt: &Prompt,
    agent: AgentKind,
    task: TaskId,
    deliveries: &[Delivery],
) -> Prompt {
    let mentions = Mentions::new(task, deliveries);
    let mut parts: Vec<PromptPart> = prompt
        .0
        .iter()
        .map(|part| match part {
            PromptPart::Text(text) => PromptPart::Text(mentions.resolve(text)),
            PromptPart::Image { url } => given_image(url, agent),
            PromptPart::LocalImage { .. } => part.clone(),
        })
        .collect();
    let listed = to_list(&parts, deliveries);
    let mut appendix = failures(deliveries);
    let mut images = Vec::new();
    let mut entries = Vec::new();
    for delivery in deliveries {
        let Ok(local) = &delivery.result else {
            continue;
        };
        let shown = attached_image(local, agent);
        if listed.contains(&local.path.as_path()) {
            entries.push(entry(&delivery.attachment, local, &shown));
        }
        images.extend(shown.ok().flatten());
    }
    appendix.push_str(&list(agent, &entries));
    if agent == AgentKind::Codex {
        appendix.extend(deliveries.iter().filter_map(beginning));
    }
    append(&mut parts, &appendix);
    parts.extend(images);
    Prompt(parts)
}

/// A prompt of one text lists everything; one of blocks describes attachments itself, so only what it misses is listed.
fn to_list<'a>(parts: &[PromptPart], deliveries: &'a [Delivery]) -> Vec<&'a Path> {
    let says = |path: &Path| {
        let path = path.to_string_lossy();
        parts
            .iter()
            .any(|part| matches!(part, PromptPart::Text(text) if text.contains(&*path)))
    };
    let one_text = matches!(parts, [PromptPart::Text(_)]);
    let paths = deliveries
        .iter()
        .filter_map(|delivery| delivery.result.as_ref().ok())
        .map(|local| local.path.as_path());
    paths.filter(|path| one_text || !says(path)).collect()
}

fn append(parts: &mut Vec<PromptPart>, appendix: &str) {
    if appendix.is_empty() {
        return;
    }
    let last = parts.iter_mut().rev().find_map(|part| match part {
        PromptPart::Text(text) => Some(text),
        PromptPart::Image { .. } | PromptPart::LocalImage { .. } => None,
    });
    match last {
        Some(text) => text.push_str(appendix),
        None => parts.insert(0, PromptPart::Text(appendix.trim_start().to_owned())),
    }
}

fn failures(deliveries: &[Delivery]) -> String {
    let lines: String = deliveries
        .iter()
        .filter_map(|delivery| {
            let reason = delivery.result.as_ref().err()?;
            let name = one_line(&delivery.attachment.filename);
            Some(format!("\n- {name} (Error: {})", one_line(reason)))
        })
        .collect();
    if lines.is_empty() {
        return lines;
    }
    format!("\n\n⚠️ The following attachments failed to download and are unavailable:{lines}")
}

fn list(agent: AgentKind, entries: &[String]) -> String {
    if entries.is_empty() {
        return String::new();
    }
    let list = format!("\n\n📎 Available attachments:\n{}", entries.join("\n"));
    match agent {
        AgentKind::ClaudeCode => format!("\n\n<attachment>{list}\n</attachment>"),
        AgentKind::Codex => list,
    }
}

fn entry(
    attachment: &Attachment,
    local: &Local,
    shown: &Result<Option<PromptPart>, String>,
) -> String {
    let note = match shown {
        Ok(_) => String::new(),
        Err(reason) => format!(" (not shown as an image: {reason})"),
    };
    format!(
        "- {} ({}, {}): {}{note}",
        one_line(&attachment.filename),
        attachment
            .mime_type
            .as_deref()
            .map_or_else(|| "application/octet-stream".to_owned(), one_line),
        size(local.size),
        local.path.display(),
    )
}

#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
fn size(bytes: u64) -> String {
    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;
    match bytes {
        ..KIB => format!("{bytes} bytes"),
        KIB..MIB => format!("{:.1} KB", bytes as f64 / KIB as f64),
        MIB.. => format!("{:.1} MB", bytes as f64 / MIB as f64),
    }
}

/// How a text file begins.
fn beginning(delivery: &Delivery) -> Option<String> {
    let local = delivery.result.as_ref().ok()?;
    let text = preview::preview(local.open().ok()?)?;
    Some(format!(
        "\n\nThe beginning of {}:\n{}",
        local.path.display(),
        preview::fenced(&text)
    ))
}

fn one_line(text: &str) -> String {
    text.split(char::is_control).collect::<Vec<_>>().join(" ")
}

/// An image that came with the prompt.
fn given_image(url: &str, agent: AgentKind) -> PromptPart {
    let scaled = match agent {
        AgentKind::ClaudeCode => image::scaled(url),
        // It scales images itself.
        AgentKind::Codex => Ok(None),
    };
    match scaled {
        Ok(scaled) => PromptPart::Image {
            url: scaled.unwrap_or_else(|| url.to_owned()),
        },
        Err(error) => PromptPart::Text(format!(
            "[An image can't be shown: {}]",
            crate::error_chain(&error)
        )),
    }
}

/// An attached image as a part of the prompt; `None` for other files, an error for an image that can't be shown.
fn attached_image(local: &Local, agent: AgentKind) -> Result<Option<PromptPart>, String> {
    let opened = local.open().ok();
    let Some(mut file) = opened.filter(image::is_image) else {
        return Ok(None);
    };
    match agent {
        AgentKind::Codex => Ok(Some(PromptPart::LocalImage {
            path: local.path.clone(),
        })),
        AgentKind::ClaudeCode => match image::from_file(&mut file) {
            Ok(url) => Ok(Some(PromptPart::Image { url })),
            Err(error) => Err(crate::error_chain(&error)),
        },
    }
}

/// What a prompt may say of attachments, and what is said instead.
struct Mentions<'a> {
    deliveries: &'a [Delivery],
    /// How every path in the sandbox begins.
    prefix: String,
    /// Paths in the sandbox and here, the longest first: one may be the beginning of another.
    paths: Vec<(String, &'a Path)>,
}

impl<'a> Mentions<'a> {
    fn new(task: TaskId, deliveries: &'a [Delivery]) -> Self {
        let prefix = format!("/home/user/{task}:executor:attachments/");
        let mut paths: Vec<_> = deliveries
            .iter()
            .filter_map(|delivery| {
                let local = delivery.result.as_ref().ok()?;
                let Attachment {
                    subtask, filename, ..
                } = &delivery.attachment;
                Some((
                    format!("{prefix}{subtask}/{filename}"),
                    local.path.as_path(),
                ))
            })
            .collect();
        paths.sort_by_key(|(sandbox, _)| std::cmp::Reverse(sandbox.len()));
        Self {
            deliveries,
            prefix,
            paths,
        }
    }

    /// In one pass, so that what is put in is not looked at again.
    fn resolve(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = self.next_mention(rest) {
            out.push_str(&rest[..at]);
            rest = &rest[at..];
            rest = self
                .by_id(rest, &mut out)
                .or_else(|| self.by_path(rest, &mut out))
                .unwrap_or_else(|| {
                    // Something that only looks like one.
                    let (first, others) = rest.split_at(1);
                    out.push_str(first);
                    others
                });
        }
        out.push_str(rest);
        out
    }

    fn next_mention(&self, text: &str) -> Option<usize> {
        [text.find(MENTION), text.find(&self.prefix)]
            .into_iter()
            .flatten()
            .min()
    }

    fn by_id<'t>(&self, text: &'t str, out: &mut String) -> Option<&'t str> {
        let (id, rest) = text.strip_prefix(MENTION)?.split_once(']')?;
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let delivery = self
            .deliveries
            .iter()
            .find(|delivery| id.parse() == Ok(delivery.attachment.id));
        out.push_str(&match delivery.map(|delivery| &delivery.result) {
            Some(Ok(local)) => format!("[Attachment downloaded to: {}]", local.path.display()),
            Some(Err(_)) => format!("[Attachment {id} unavailable - download failed]"),
            None => format!("[Attachment {id} unavailable]"),
        });
        Some(rest)
    }

    fn by_path<'t>(&self, text: &'t str, out: &mut String) -> Option<&'t str> {
        let (rest, path) = self
            .paths
            .iter()
            .find_map(|(sandbox, path)| Some((text.strip_prefix(sandbox.as_str())?, path)))?;
        if let Some(before) = out.strip_suffix(IN_SANDBOX).map(str::len) {
            out.truncate(before);
            out.push_str(HERE);
        }
        out.push_str(&path.display().to_string());
        Some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AttachmentState, SubtaskId};

    fn delivery(id: i64, filename: &str, result: Result<&str, &str>) -> Delivery {
        Delivery {
            attachment: Attachment {
                id,
                filename: filename.to_owned(),
                mime_type: Some("application/pdf".to_owned()),
                size: None,
                subtask: SubtaskId(5),
                state: AttachmentState::Wanted,
            },
            result: match result {
                Ok(path) => Ok(Local {
                    path: path.into(),
                    size: 1536,
                    task_folder: "/".into(),
                }),
                Err(reason) => Err(reason.to_owned()),
            },
        }
    }

    fn text(prompt: &str, agent: AgentKind, deliveries: &[Delivery]) -> String {
        into_prompt(&Prompt::text(prompt), agent, TaskId(7), deliveries).joined_text()
    }

    #[test]
    fn every_way_to_mention_an_attachment_becomes_its_path() {
        let deliveries = [
            delivery(1, "a.txt", Ok("/w/a.txt")),
            delivery(2, "a.txt.bak", Ok("/w/a.txt.bak")),
            delivery(3, "c.txt", Err("HTTP 404")),
        ];
        let mentions = Mentions::new(TaskId(7), &deliveries);
        let sandbox = "/home/user/7:executor:attachments/5";
        for (before, after) in [
            (
                "see [attachment:1].".to_owned(),
                "see [Attachment downloaded to: /w/a.txt].",
            ),
            (
                "[attachment:3]".to_owned(),
                "[Attachment 3 unavailable - download failed]",
            ),
            ("[attachment:9]".to_owned(), "[Attachment 9 unavailable]"),
            (
                format!("File Path(already in sandbox): {sandbox}/a.txt\nx"),
                "Local File Path: /w/a.txt\nx",
            ),
            (format!("cat {sandbox}/a.txt.bak"), "cat /w/a.txt.bak"),
            (
                "[attachment:x] [attachment:".to_owned(),
                "[attachment:x] [attachment:",
            ),
            ("[attachment:]文".to_owned(), "[attachment:]文"),
        ] {
            assert_eq!(mentions.resolve(&before), after);
        }
        let unknown = format!("{sandbox}/c.txt");
        assert_eq!(mentions.resolve(&unknown), unknown);
    }

    #[test]
    fn what_is_put_in_is_not_looked_at_again() {
        let deliveries = [delivery(1, "x", Ok("/w/[attachment:1]"))];
        let mentions = Mentions::new(TaskId(7), &deliveries);
        assert_eq!(
            mentions.resolve("[attachment:1]"),
            "[Attachment downloaded to: /w/[attachment:1]]"
        );
    }

    #[test]
    fn a_text_lists_what_there_is_and_what_is_missing() {
        let deliveries = [
            delivery(1, "a\n.pdf", Ok("/w/a.pdf")),
            delivery(2, "b.pdf", Err("HTTP 404; body=\nno")),
        ];
        assert_eq!(
            text("Read.", AgentKind::ClaudeCode, &deliveries),
            "Read.\n\n⚠️ The following attachments failed to download and are unavailable:\n\
             - b.pdf (Error: HTTP 404; body= no)\n\n\
             <attachment>\n\n📎 Available attachments:\n\
             - a .pdf (application/pdf, 1.5 KB): /w/a.pdf\n</attachment>"
        );
        assert!(!text("Read.", AgentKind::Codex, &deliveries).contains("<attachment>"));
        assert_eq!(text("Read.", AgentKind::Codex, &[]), "Read.");
    }

    #[test]
    fn blocks_that_name_a_file_do_not_list_it_again() {
        let deliveries = [
            delivery(1, "a.pdf", Ok("/w/a.pdf")),
            delivery(2, "b.pdf", Ok("/w/b.pdf")),
        ];
        let blocks = Prompt(vec![
            PromptPart::Text("See [attachment:1]".to_owned()),
            PromptPart::Image {
                url: "https://a/b.png".to_owned(),
            },
        ]);
        let prompt = into_prompt(&blocks, AgentKind::ClaudeCode, TaskId(7), &deliveries);
        let text = prompt.joined_text();
        assert_eq!(text.matches("/w/a.pdf").count(), 1, "{text}");
        assert!(text.contains("- b.pdf ("), "{text}");
        assert_eq!(prompt.0.len(), 2);
    }

    #[test]
    fn a_prompt_without_text_gets_one() {
        let image = PromptPart::Image {
            url: "https://a/b.png".to_owned(),
        };
        let deliveries = [delivery(1, "a.pdf", Err("gone"))];
        let prompt = into_prompt(
            &Prompt(vec![image.clone()]),
            AgentKind::Codex,
            TaskId(7),
            &deliveries,
        );
        assert!(matches!(&prompt.0[0], PromptPart::Text(text) if text.starts_with('⚠')));
        assert_eq!(prompt.0[1], image);
    }

    #[test]
    fn sizes_are_told_as_people_do() {
        assert_eq!(size(0), "0 bytes");
        assert_eq!(size(1023), "1023 bytes");
        assert_eq!(size(1024), "1.0 KB");
        assert_eq!(size(5 * 1024 * 1024 + 300_000), "5.3 MB");
    }
}
