//! Credentials, and the questions that git asks about them (see gitcredentials(7), git-credential(1)).

use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};

use super::{GitError, Origin};

/// A name and a token for one origin, and no other.
#[derive(Clone, Debug)]
pub struct Credential {
    origin: Origin,
    username: String,
    password: SecretString,
}

impl Credential {
    /// A credential for `origin`.
    ///
    /// # Errors
    /// [`GitError::Credential`] for what would break the lines of git's protocol.
    pub fn new(origin: Origin, username: String, password: SecretString) -> Result<Self, GitError> {
        let breaks = |text: &str| text.contains(['\n', '\r', '\0']);
        if breaks(&username) {
            return Err(GitError::Credential {
                field: "user.git_login",
            });
        }
        if breaks(password.expose_secret()) {
            return Err(GitError::Credential {
                field: "user.git_token",
            });
        }
        Ok(Self {
            origin,
            username,
            password,
        })
    }

    /// What it is for.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The token.
    pub fn password(&self) -> &SecretString {
        &self.password
    }

    /// The answer to a question of git's `get`; nothing unless it's about this very origin.
    ///
    /// A name in the question doesn't matter: servers that take tokens know their users by them.
    pub fn answer(&self, question: &str) -> Option<Zeroizing<String>> {
        let value = |name: &str| {
            let lines = question.lines().take_while(|line| !line.is_empty());
            lines
                .filter_map(|line| line.split_once('='))
                .filter(|(key, _)| *key == name)
                .map(|(_, value)| value)
                .last()
        };
        let asked = Origin::of_question(value("protocol")?, value("host")?)?;
        (asked == self.origin).then(|| {
            Zeroizing::new(format!(
                "username={}\npassword={}\n",
                self.username,
                self.password.expose_secret()
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::Remote;

    fn credential() -> Credential {
        let remote: Remote = "http://git.example:8090/a".parse().unwrap();
        let origin = remote.origin().cloned().unwrap();
        Credential::new(origin, "alice".into(), "t0ken".into()).unwrap()
    }

    #[test]
    fn only_the_exact_origin_is_answered() {
        let credential = credential();
        let answer = |question: &str| credential.answer(question).map(|answer| (*answer).clone());
        let yes = Some("username=alice\npassword=t0ken\n".to_owned());
        assert_eq!(answer("protocol=http\nhost=git.example:8090\n\n"), yes);
        assert_eq!(
            answer("capability[]=authtype\nprotocol=http\nhost=git.example:8090\nusername=bob\n"),
            yes
        );
        for question in [
            "protocol=https\nhost=git.example:8090\n",
            "protocol=http\nhost=git.example\n",
            "protocol=http\nhost=evil.example:8090\n",
            "protocol=http\n",
            "host=git.example:8090\n",
            "",
            // What comes after the end, or is overruled, is not the question.
            "protocol=http\n\nhost=git.example:8090\n",
            "protocol=http\nhost=git.example:8090\nhost=evil.example\n",
        ] {
            assert_eq!(answer(question), None, "{question:?}");
        }
    }

    #[test]
    fn what_would_add_a_line_is_refused() {
        let origin = credential().origin().clone();
        for (name, token) in [("a\nhost=evil", "t"), ("a", "t\npassword=x"), ("a", "t\0")] {
            assert!(Credential::new(origin.clone(), name.into(), token.into()).is_err());
        }
    }
}
