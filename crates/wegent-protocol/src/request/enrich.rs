//! What the platform wants said before the prompt: selected skills, selected knowledge.

use agent_core::{Prompt, PromptPart};

use super::wire::Metadata;

/// The skill through which knowledge bases are reached.
const KNOWLEDGE_SKILL: &str = "wegent-knowledge";

/// Puts in front of the prompt, outermost first: the skills that the person selected, the knowledge that they selected,
/// and which knowledge bases there are. Parts are separated by a blank line; of a prompt in blocks the first text gets
/// them.
pub(super) fn enrich(prompt: &mut Prompt, metadata: &mut Metadata) {
    let parts = [
        emphasis(metadata.user_selected_skills.as_deref().unwrap_or_default()),
        present(metadata.selected_knowledge_prompt.take()),
        knowledge_bases(metadata),
    ];
    let before: Vec<String> = parts.into_iter().flatten().collect();
    if before.is_empty() {
        return;
    }
    let before = before.join("\n\n");
    let first = prompt.0.iter_mut().find_map(|part| match part {
        PromptPart::Text(text) => Some(text),
        _ => None,
    });
    match first {
        Some(text) => *text = format!("{before}\n\n{text}"),
        None => prompt.0.insert(0, PromptPart::Text(before)),
    }
}

fn emphasis(selected: &[String]) -> Option<String> {
    let names: Vec<&str> = selected
        .iter()
        .map(|name| name.trim())
        .filter(|name| !name.is_empty())
        .collect();
    if names.is_empty() {
        return None;
    }
    let mut text =
        "<user_selected_skills>\nThe user selected these skills for this message. Prioritise them \
         over other ways of doing the work:\n"
            .to_owned();
    for name in &names {
        text.push_str(&format!("- {name} (selected by the user)\n"));
    }
    text.push_str("</user_selected_skills>");
    if names.contains(&KNOWLEDGE_SKILL) {
        text.push_str(
            "\n\nThe user also selected knowledge bases: look the answer up in them first, before you use other \
             sources or what you know yourself.",
        );
    }
    Some(text)
}

/// Which knowledge bases there are. Not for coding tasks.
fn knowledge_bases(metadata: &mut Metadata) -> Option<String> {
    let context = present(metadata.kb_meta_prompt.take())?;
    if metadata
        .kind
        .as_deref()
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("code"))
    {
        return None;
    }
    let guidance = if metadata.is_user_selected_kb.unwrap_or(false) {
        "The user selected the knowledge bases below for this conversation. Answer from them where they have an answer."
    } else {
        "The knowledge bases below are available in this conversation. Use them where they bear on the question."
    };
    Some(format!(
        "{guidance}\n\n<knowledge_base_context>\n{}\n</knowledge_base_context>",
        context.trim()
    ))
}

fn present(text: Option<String>) -> Option<String> {
    super::mcp::present(text).map(|text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enriched(prompt: Prompt, change: impl FnOnce(&mut Metadata)) -> Prompt {
        let (mut prompt, mut metadata) = (prompt, Metadata::default());
        change(&mut metadata);
        enrich(&mut prompt, &mut metadata);
        prompt
    }

    fn text(prompt: &Prompt) -> &str {
        match &prompt.0[0] {
            PromptPart::Text(text) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn parts_stand_in_their_order_before_the_prompt() {
        let prompt = enriched(Prompt::text("What is it?"), |metadata| {
            metadata.user_selected_skills =
                Some(vec!["review".into(), " ".into(), KNOWLEDGE_SKILL.into()]);
            metadata.selected_knowledge_prompt = Some("\nOne document.\n".into());
            metadata.kb_meta_prompt = Some("KB 7: manuals".into());
            metadata.is_user_selected_kb = Some(true);
        });
        let text = text(&prompt);
        let at = |part: &str| {
            text.find(part)
                .unwrap_or_else(|| panic!("no {part} in {text}"))
        };
        let order = [
            at("- review (selected by the user)"),
            at("look the answer up in them first"),
            at("\n\nOne document.\n\n"),
            at("The user selected the knowledge bases below"),
            at("<knowledge_base_context>\nKB 7: manuals\n</knowledge_base_context>"),
            at("\n\nWhat is it?"),
        ];
        assert!(order.is_sorted(), "{text}");
        assert!(text.ends_with("What is it?"));
    }

    #[test]
    fn blocks_get_it_in_their_first_text() {
        let image = || PromptPart::Image {
            url: "data:,".into(),
        };
        let select =
            |metadata: &mut Metadata| metadata.user_selected_skills = Some(vec!["s".into()]);
        let both = enriched(
            Prompt(vec![image(), PromptPart::Text("look".into())]),
            select,
        );
        assert_eq!(both.0[0], image());
        assert!(
            matches!(&both.0[1], PromptPart::Text(text) if text.contains("- s (") && text.ends_with("\n\nlook"))
        );
        let alone = enriched(Prompt(vec![image()]), select);
        assert!(text(&alone).contains("- s (") && alone.0[1] == image());
    }

    #[test]
    fn a_coding_task_has_no_knowledge_bases_and_nothing_is_added_for_nothing() {
        let code = enriched(Prompt::text("x"), |metadata| {
            metadata.kind = Some("Code".into());
            metadata.kb_meta_prompt = Some("KB".into());
            metadata.selected_knowledge_prompt = Some("  ".into());
            metadata.user_selected_skills = Some(Vec::new());
        });
        assert_eq!(code, Prompt::text("x"));
    }
}
