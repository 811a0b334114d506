//! Which token is for which server.

use std::{fs, path::Path};

use redact::Secrets;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::{Credential, GitError, GitSettings, Origin, Remote};
use crate::{GitSource, GitUser};

/// The user's name where only a token is known: what code hosts expect with one.
const ANYBODY: &str = "token";
/// The longest token that is read from a file.
const LONGEST_TOKEN: u64 = 64 << 10;

/// What is known of the way to the git server.
#[derive(Debug, Default)]
pub(super) struct Access {
    /// The server's domain, with its port if that was said.
    pub(super) domain: Option<String>,
    /// The user's token for it.
    pub(super) credential: Option<Credential>,
    /// The proxy to it, without a password.
    pub(super) proxy: Option<(Origin, String)>,
    /// The proxy's password.
    pub(super) proxy_credential: Option<Credential>,
    /// What the person should know.
    pub(super) warning: Option<String>,
}

impl Access {
    /// Finds out. Every secret is in `secrets` before anything else happens to it.
    ///
    /// # Errors
    /// [`GitError`] for a token that can't be decrypted or told, and for a server that needs one and has none.
    pub(super) fn find(
        settings: &GitSettings,
        source: Option<&GitSource>,
        remote: Option<&Remote>,
        user: &GitUser,
        secrets: &Secrets,
    ) -> Result<Self, GitError> {
        let web = remote.and_then(Remote::origin);
        let named = source
            .and_then(|source| source.domain.as_deref())
            .or(user.domain.as_deref());
        let domain = named
            .and_then(bare_domain)
            .or_else(|| web.map(Origin::authority))
            .or_else(|| remote.map(|remote| remote.host().to_owned()));
        let mut access = Self {
            domain,
            ..Self::default()
        };
        let token = match access.token(settings, user, secrets) {
            // Nothing that was asked for needs it.
            Err(error) if web.is_none() => {
                tracing::warn!(%error, "tools go without a git token");
                None
            }
            token => token?,
        };
        access.credential = match (remote.and_then(Remote::in_url), token, web) {
            (_, Some(token), Some(origin)) if access.is_for(origin) => Some(Credential::new(
                origin.clone(),
                name(user.login.as_deref()),
                token,
            )?),
            // Told to whoever the URL names, the token would be anybody's who can choose the URL.
            (_, Some(_), Some(origin)) => {
                access.warning = Some(format!(
                    "The git token is for `{}` and was not offered to `{}`.",
                    access.domain.as_deref().unwrap_or_default(),
                    origin.authority()
                ));
                None
            }
            (_, Some(token), None) => match access.web_of_domain() {
                Some(origin) => Some(Credential::new(origin, name(user.login.as_deref()), token)?),
                None => None,
            },
            (Some(in_url), None, Some(origin)) => match &in_url.password {
                Some(password) => {
                    secrets.add(password.clone());
                    Some(Credential::new(
                        origin.clone(),
                        name(Some(&in_url.username)),
                        password.clone(),
                    )?)
                }
                None => None,
            },
            (_, None, _) => None,
        };
        if let Some(origin) = web {
            access.refuse_strangers(settings, origin)?;
            access.set_proxy(settings, origin, remote.map_or("", Remote::host), secrets)?;
        }
        Ok(access)
    }

    /// The token of the request, else of the file that the image may hold for the domain.
    fn token(
        &self,
        settings: &GitSettings,
        user: &GitUser,
        secrets: &Secrets,
    ) -> Result<Option<SecretString>, GitError> {
        let given = given(user).cloned();
        given
            .or_else(|| self.token_in_file(settings))
            .map(|raw| in_clear(settings, &raw, secrets))
            .transpose()
    }

    fn token_in_file(&self, settings: &GitSettings) -> Option<SecretString> {
        let home = settings.image.get(std::ffi::OsStr::new("HOME"))?;
        let file = Path::new(home).join(".ssh").join(self.domain.as_deref()?);
        let small = fs::metadata(&file)
            .is_ok_and(|metadata| metadata.is_file() && metadata.len() <= LONGEST_TOKEN);
        let text = small.then(|| fs::read_to_string(&file).ok()).flatten()?;
        (!text.trim().is_empty()).then(|| text.trim().into())
    }

    /// Whether the token is for this server: its domain was named with or without the port.
    fn is_for(&self, origin: &Origin) -> bool {
        self.domain.as_deref().is_some_and(|domain| {
            let same = |other: &str| domain.eq_ignore_ascii_case(other);
            same(&origin.authority()) || same(origin.host())
        })
    }

    fn web_of_domain(&self) -> Option<Origin> {
        Origin::of_question("https", self.domain.as_deref()?)
    }

    fn refuse_strangers(&self, settings: &GitSettings, origin: &Origin) -> Result<(), GitError> {
        let protected = settings.protected_domains.iter().any(|domain| {
            *domain == origin.authority().to_lowercase() || *domain == origin.host().to_lowercase()
        });
        if protected && self.credential.is_none() {
            return Err(GitError::CredentialsRequired {
                host: origin.authority(),
            });
        }
        Ok(())
    }

    /// The proxy's password is told like the server's, when git asks for it.
    fn set_proxy(
        &mut self,
        settings: &GitSettings,
        origin: &Origin,
        host: &str,
        secrets: &Secrets,
    ) -> Result<(), GitError> {
        let Some(url) = settings.proxies.of(origin, host) else {
            return Ok(());
        };
        let mut open = url.clone();
        if let Some(password) = url.password().map(SecretString::from) {
            secrets.add(password.clone());
            // These fail for URLs without a host only.
            let _ = open.set_password(None);
            if let Some(proxy) = Origin::of_url(url) {
                self.proxy_credential =
                    Some(Credential::new(proxy, url.username().to_owned(), password)?);
            }
        }
        self.proxy = Some((origin.clone(), open.to_string()));
        Ok(())
    }

    /// What the keeper is to know.
    pub(super) fn credentials(&self) -> Vec<Credential> {
        self.credential
            .iter()
            .chain(&self.proxy_credential)
            .cloned()
            .collect()
    }
}

/// The token that the request brings, if it is one.
pub(super) fn given(user: &GitUser) -> Option<&SecretString> {
    user.token.as_ref().filter(|token| {
        let token = token.expose_secret().trim();
        !token.is_empty() && token != "***"
    })
}

/// The token as servers know it, having told `secrets` of both its forms.
pub(super) fn in_clear(
    settings: &GitSettings,
    raw: &SecretString,
    secrets: &Secrets,
) -> Result<SecretString, GitError> {
    secrets.add(raw.clone());
    let token = settings.cipher.reveal(raw)?;
    secrets.add(token.clone());
    Ok(token.expose_secret().trim().into())
}

fn name(login: Option<&str>) -> String {
    login
        .map(str::trim)
        .filter(|login| !login.is_empty())
        .unwrap_or(ANYBODY)
        .to_owned()
}

/// `git.example:8090` of what a person may have written for it; `None` if it can't be that.
fn bare_domain(text: &str) -> Option<String> {
    let text = text.trim();
    let url = if text.contains("://") {
        Url::parse(text)
    } else {
        Url::parse(&format!("https://{text}"))
    };
    let url = url.ok()?;
    let host = url
        .host_str()
        .filter(|host| !host.is_empty() && !host.starts_with(['.', '-']))?;
    Some(match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{environment::Environment, git::TokenCipher};

    struct Given {
        settings: GitSettings,
        home: tempfile::TempDir,
        user: GitUser,
        secrets: Secrets,
    }

    impl Given {
        fn new() -> Self {
            let home = tempfile::tempdir().unwrap();
            let image = Environment::from([("HOME".into(), home.path().into())]);
            Self {
                settings: GitSettings::new(image, "me".into(), "/helper".into()),
                home,
                user: GitUser {
                    domain: Some("git.example:8090".into()),
                    token: Some("glpat-0123456789".into()),
                    login: Some("alice".into()),
                    ..GitUser::default()
                },
                secrets: Secrets::new(),
            }
        }

        fn find(&self, url: &str) -> Result<Access, GitError> {
            let remote: Option<Remote> = (!url.is_empty()).then(|| url.parse().unwrap());
            Access::find(
                &self.settings,
                None,
                remote.as_ref(),
                &self.user,
                &self.secrets,
            )
        }

        /// `user:token@origin`, if there is a credential.
        fn told(&self, url: &str) -> Option<String> {
            let credential = self.find(url).unwrap().credential?;
            let origin = credential.origin().to_string();
            let (protocol, host) = origin.split_once("://").unwrap();
            let answer = credential
                .answer(&format!("protocol={protocol}\nhost={host}\n"))
                .unwrap();
            let values: Vec<&str> = answer
                .lines()
                .filter_map(|line| Some(line.split_once('=')?.1))
                .collect();
            Some(format!("{}@{origin}", values.join(":")))
        }
    }

    #[test]
    fn a_token_is_told_to_its_own_server_only() {
        let given = Given::new();
        let own = Some("alice:glpat-0123456789@http://git.example:8090".to_owned());
        assert_eq!(given.told("http://git.example:8090/a"), own);
        assert_eq!(
            given
                .secrets
                .redact_str("x glpat-0123456789 y")
                .matches("glpat")
                .count(),
            0
        );
        assert_eq!(given.told("http://evil.example:8090/a"), None);
        assert_eq!(given.told("http://git.example:8091/a"), None);
        let warning = given
            .find("https://evil.example/a")
            .unwrap()
            .warning
            .unwrap();
        assert!(
            warning.contains("`git.example:8090`") && warning.contains("`evil.example`"),
            "{warning}"
        );
        // Without a repository over http, tools may still want one.
        let web = Some("alice:glpat-0123456789@https://git.example:8090".to_owned());
        assert_eq!(given.told(""), web);
        assert_eq!(given.told("git@git.example:a.git"), web);
    }

    #[test]
    fn a_domain_without_its_port_is_enough() {
        let mut given = Given::new();
        for domain in ["git.example", "https://git.example/", "GIT.example"] {
            given.user.domain = Some(domain.into());
            assert!(
                given.told("http://git.example:8090/a").is_some(),
                "{domain}"
            );
        }
        given.user.domain = None;
        assert!(
            given.told("http://any.example/a").is_some(),
            "without a domain it's the URL's"
        );
    }

    #[test]
    fn a_token_that_cannot_be_decrypted_matters_only_where_it_is_needed() {
        let mut given = Given::new();
        given.settings.cipher = TokenCipher::new(None, Some(&"short".into()));
        given.user.token = Some("FcOsMvQ5iPbrbd92nF4lJXezlFfHKEGK50OvgjVTY48=".into());
        assert_eq!(given.told(""), None);
        let error = given.find("http://git.example:8090/a").unwrap_err();
        assert!(error.to_string().contains("GIT_TOKEN_AES_IV"), "{error}");
    }

    #[test]
    fn the_images_file_stands_in_for_a_token() {
        let mut given = Given::new();
        fs::create_dir(given.home.path().join(".ssh")).unwrap();
        fs::write(
            given.home.path().join(".ssh/git.example:8090"),
            "from-a-file\n",
        )
        .unwrap();
        fs::write(given.home.path().join("elsewhere"), "not-this").unwrap();
        for masked in [None, Some("***"), Some("  ")] {
            given.user.token = masked.map(SecretString::from);
            let told = given.told("http://git.example:8090/a").unwrap();
            assert!(told.contains(":from-a-file@"), "{told}");
        }
        given.user.domain = Some("../elsewhere".into());
        let told = given.told("http://git.example:8090/a").unwrap();
        assert!(
            told.contains(":from-a-file@"),
            "the URL's own domain: {told}"
        );
    }

    #[test]
    fn what_stood_in_the_url_is_the_last_choice() {
        let mut given = Given::new();
        let url = "http://bob:in-the-url@git.example:8090/a";
        assert!(given.told(url).unwrap().starts_with("alice:glpat-"));
        given.user.token = None;
        assert_eq!(
            given.told(url).unwrap(),
            "bob:in-the-url@http://git.example:8090"
        );
        assert!(
            !given
                .secrets
                .redact_str("in-the-url")
                .contains("in-the-url")
        );
    }

    #[test]
    fn protected_domains_are_not_asked_without_a_token() {
        let mut given = Given::new();
        given.settings.protected_domains = vec!["git.example".into()];
        assert!(given.find("http://git.example:8090/a").is_ok());
        given.user.token = None;
        let error = given
            .find("http://git.example:8090/a")
            .unwrap_err()
            .to_string();
        assert!(error.contains("`git.example:8090`"), "{error}");
        assert!(given.find("http://else.example/a").is_ok());
    }

    #[test]
    fn a_proxys_password_is_no_part_of_its_url() {
        let mut given = Given::new();
        given.settings.proxies = r#"{"*": {"http.proxy": "http://bob:pr0xy-pw@proxy:3128"}}"#
            .parse()
            .unwrap();
        let access = given.find("http://git.example:8090/a").unwrap();
        assert_eq!(access.proxy.as_ref().unwrap().1, "http://bob@proxy:3128/");
        let answer = access
            .proxy_credential
            .as_ref()
            .unwrap()
            .answer("protocol=http\nhost=proxy:3128\n");
        assert_eq!(
            answer.unwrap().as_str(),
            "username=bob\npassword=pr0xy-pw\n"
        );
        assert_eq!(access.credentials().len(), 2);
    }
}
