//! The skills of a request.

use std::collections::BTreeMap;

use agent_core::{KnownSkill, Skills, downloads::ContentHash};

use super::{
    mcp::present,
    wire::{self, Metadata, SkillConfig, SkillRef, SkillRefs},
};

/// All skills by name, in the order: of the bots, of the request, required. What is known of one comes from the first of:
/// the references of required skills, those of all, the skill's configuration; the request's own before the bots'.
pub(super) fn skills(bots: &mut [wire::Bot], metadata: &mut Metadata) -> Skills {
    let mut required = names(metadata.preload_skills.take());
    add(&mut required, names(metadata.required_skills.take()));
    let mut offered = Vec::new();
    for bot in &mut *bots {
        add(&mut offered, names(bot.skills.take()));
    }
    add(&mut offered, names(metadata.skill_names.take()));
    add(&mut offered, required.clone());

    let mut known = BTreeMap::new();
    let preload = [metadata.preload_skill_refs.take()].into_iter();
    let preload = preload.chain(bots.iter_mut().map(|bot| bot.preload_skill_refs.take()));
    let preload: Vec<SkillRefs> = preload.flatten().collect();
    let others = [metadata.skill_refs.take()].into_iter();
    let others = others.chain(bots.iter_mut().map(|bot| bot.skill_refs.take()));
    for (name, skill) in preload.into_iter().chain(others.flatten()).flatten() {
        if let Some(skill) = skill.and_then(referred) {
            known.entry(name).or_insert(skill);
        }
    }
    let configs = metadata.skill_configs.iter().flatten();
    for (name, skill) in configs.filter_map(configured) {
        known.entry(name).or_insert(skill);
    }
    Skills {
        offered,
        required,
        selected: names(metadata.user_selected_skills.take()),
        known,
        namespace: present(metadata.team_namespace.take()),
    }
}

fn referred(skill: SkillRef) -> Option<KnownSkill> {
    Some(KnownSkill {
        id: present(skill.skill_id.map(|id| id.0))?,
        namespace: present(skill.namespace),
        hash: skill.content_hash.as_deref().and_then(ContentHash::parse),
    })
}

fn configured(config: &SkillConfig) -> Option<(String, KnownSkill)> {
    let skill = KnownSkill {
        id: present(config.skill_id.as_ref().map(|id| id.0.clone()))?,
        namespace: None,
        hash: None,
    };
    Some((config.name.clone()?, skill))
}

/// Each once, in the order of their first mention.
fn add(all: &mut Vec<String>, more: Vec<String>) {
    for name in more {
        if !all.contains(&name) {
            all.push(name);
        }
    }
}

/// The names that are none are left out.
pub(super) fn names(names: Option<Vec<String>>) -> Vec<String> {
    names
        .into_iter()
        .flatten()
        .filter(|name| !name.trim().is_empty())
        .collect()
}
