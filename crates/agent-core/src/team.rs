//! The members of a team, as sub-agents of the bot that leads it.

use std::collections::BTreeSet;

use crate::{Team, Turn};

/// A bot that another one can give work to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Member {
    /// The name by which an agent calls it: lower-case letters, digits and single dashes; unique within the turn.
    pub name: String,
    /// When to call it.
    pub description: String,
    /// Its own system prompt.
    pub prompt: String,
    /// The model of its own, if it has one.
    pub model_id: Option<String>,
}

impl Turn {
    /// The members of the team beside its leader; none unless the team coordinates.
    pub fn members(&self) -> Vec<Member> {
        if self.team != Team::Coordinate {
            return Vec::new();
        }
        let mut taken = BTreeSet::new();
        let members = self.bots.iter().skip(1).enumerate();
        members
            .map(|(index, bot)| {
                let mut name = plain_name(&bot.name);
                if name.is_empty() || taken.contains(&name) {
                    let number = (index + 2).to_string();
                    let suffix = plain_name(bot.id.as_deref().unwrap_or(&number));
                    let stem = if name.is_empty() { "member" } else { &name };
                    name = format!("{stem}-{suffix}");
                }
                // Two bots with the same name and the same id are told apart by their place.
                if taken.contains(&name) {
                    name = format!("{name}-{}", index + 2);
                }
                taken.insert(name.clone());
                let role = bot.role.as_deref().unwrap_or("member");
                Member {
                    name,
                    description: format!(
                        "{}, {role} of the team. Give it the work that is its part.",
                        bot.name
                    ),
                    prompt: bot.system_prompt.clone(),
                    model_id: bot.model_id.clone(),
                }
            })
            .collect()
    }
}

/// Lower-case letters, digits and single dashes.
fn plain_name(name: &str) -> String {
    let mut made = String::new();
    for character in name.chars().flat_map(char::to_lowercase) {
        if character.is_ascii_alphanumeric() {
            made.push(character);
        } else if !made.is_empty() && !made.ends_with('-') {
            made.push('-');
        }
    }
    made.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_members_are_plain() {
        assert_eq!(plain_name("Code Reviewer (v2)"), "code-reviewer-v2");
        assert_eq!(plain_name("评审"), "");
    }
}
