//! Who commits: the repository's own `user.name` and `user.email`.

use crate::GitUser;

/// Name and address for commits, if both are known.
///
/// Without an address, the platform's own form of one that reaches nobody.
pub(super) fn author(user: &GitUser) -> Option<(String, String)> {
    let name = user.login.clone()?;
    let email = match (&user.email, &user.id) {
        (Some(email), _) => email.clone(),
        (None, Some(id)) => format!("{id}+{name}@users.noreply.github.com"),
        (None, None) => return None,
    };
    Some((name, email))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_or_none() {
        let user = |login: Option<&str>, email: Option<&str>, id: Option<&str>| GitUser {
            login: login.map(str::to_owned),
            email: email.map(str::to_owned),
            id: id.map(str::to_owned),
            ..GitUser::default()
        };
        let author = |user: GitUser| author(&user).map(|(name, email)| format!("{name} <{email}>"));
        assert_eq!(
            author(user(Some("e2e"), Some("e@x"), Some("1"))).as_deref(),
            Some("e2e <e@x>")
        );
        assert_eq!(
            author(user(Some("e2e"), None, Some("1"))).as_deref(),
            Some("e2e <1+e2e@users.noreply.github.com>")
        );
        assert_eq!(author(user(Some("e2e"), None, None)), None);
        assert_eq!(author(user(None, Some("e@x"), Some("1"))), None);
    }
}
