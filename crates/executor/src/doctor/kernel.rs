//! What the kernel has of what is used here.

use std::fs;

use super::Diagnosis;
use crate::config::{Access, Config};

/// The first kernel with `openat2`.
const CONFINING: (u32, u32) = (5, 6);

pub(super) fn features(config: &Config, found: &mut Diagnosis) {
    release(found);
    user_namespaces(config, found);
}

fn release(found: &mut Diagnosis) {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = release.trim();
    match numbers(release) {
        Some(numbers) if numbers < CONFINING => found.note(
            "kernel",
            format!("{release}: it has no openat2"),
            "none is needed: paths are resolved step by step, which is slower",
        ),
        Some(_) => found.ok("kernel", release),
        None => found.note("kernel", "its release can't be told", "mount /proc"),
    }
}

fn numbers(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(['.', '-']).map(str::parse);
    let mut next = || numbers.next()?.ok();
    Some((next()?, next()?))
}

/// The agents' own sandboxes are made of them. Where agents have full access, none is made.
fn user_namespaces(config: &Config, found: &mut Diagnosis) {
    let number = |name: &str| {
        let text = fs::read_to_string(format!("/proc/sys/{name}")).ok()?;
        text.trim().parse::<u64>().ok()
    };
    let allowed = number("user/max_user_namespaces").unwrap_or(0) > 0
        && number("kernel/unprivileged_userns_clone") != Some(0)
        && number("kernel/apparmor_restrict_unprivileged_userns") != Some(1);
    match (allowed, config.access) {
        (true, _) => found.ok("namespaces", "user namespaces are allowed"),
        (false, Access::Full) => found.ok(
            "namespaces",
            "user namespaces are not allowed; agents have full access here and need none",
        ),
        (false, Access::Workspace) => found.note(
            "namespaces",
            "user namespaces are not allowed: an agent's sandbox may refuse to run commands",
            "sysctl kernel.unprivileged_userns_clone=1 or user.max_user_namespaces=15000, or WEGENT_FULL_ACCESS where the machine is disposable",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_compared_by_number() {
        assert_eq!(numbers("6.8.0-45-generic"), Some((6, 8)));
        assert!(numbers("4.19.0").unwrap() < CONFINING && numbers("5.10.1").unwrap() > CONFINING);
        assert_eq!(numbers("odd"), None);
    }
}
