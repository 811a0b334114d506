//! What an operator decides about git.

use std::{collections::BTreeMap, num::NonZeroU32, path::PathBuf, str::FromStr, time::Duration};

use serde::Deserialize;
use url::Url;

use super::{Origin, TokenCipher};
use crate::environment::Environment;

/// What an operator decides about git, and what git needs to know of the executor.
#[derive(Clone, Debug)]
pub struct GitSettings {
    /// The environment of the image.
    pub image: Environment,
    /// The executor's name, by which its processes and temporary folders are known.
    pub owner: String,
    /// The program that is the credential helper: this executor's own.
    pub helper: PathBuf,
    /// Decrypts the platform's tokens.
    pub cipher: TokenCipher,
    /// Hosts from which nothing is cloned without a token, in lower case, with their port if they have one.
    pub protected_domains: Vec<String>,
    /// Proxies by the git server's domain.
    pub proxies: RepoProxies,
    /// Branches that tools can't push to by accident.
    pub protected_branches: Vec<BranchPattern>,
    /// How many commits of the history are fetched; `None` fetches all.
    pub depth: Option<NonZeroU32>,
    /// Which objects are left out until they are needed.
    pub filter: Option<Filter>,
    /// How long a clone may take.
    pub clone_limit: Duration,
}

impl GitSettings {
    /// The defaults for an executor: whole clones within half an hour, the usual branches protected.
    pub fn new(image: Environment, owner: String, helper: PathBuf) -> Self {
        Self {
            image,
            owner,
            helper,
            cipher: TokenCipher::default(),
            protected_domains: Vec::new(),
            proxies: RepoProxies::default(),
            protected_branches: BranchPattern::defaults(),
            depth: None,
            filter: None,
            clone_limit: Duration::from_secs(1800),
        }
    }
}

/// A branch's name, or a pattern with `*` for names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BranchPattern(String);

/// Not a branch's name or a pattern for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a branch is written with letters, digits, `.`, `_`, `/`, `-` and, for anything, `*`")]
pub struct BadPattern;

impl BranchPattern {
    /// `main`, `master` and `release/*`.
    pub fn defaults() -> Vec<Self> {
        ["main", "master", "release/*"]
            .map(|name| Self(name.to_owned()))
            .into()
    }

    /// The pattern, which means the same to a shell's `case`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BranchPattern {
    type Err = BadPattern;

    fn from_str(text: &str) -> Result<Self, BadPattern> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._/-*".contains(c);
        (!text.is_empty() && text.chars().all(plain))
            .then(|| Self(text.to_owned()))
            .ok_or(BadPattern)
    }
}

/// Which objects a partial clone leaves out until they are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// All contents of files but those checked out.
    BlobNone,
    /// Folders and files but those checked out.
    TreeZero,
}

impl Filter {
    /// As `git clone --filter` takes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BlobNone => "blob:none",
            Self::TreeZero => "tree:0",
        }
    }
}

impl FromStr for Filter {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "blob:none" => Ok(Self::BlobNone),
            "tree:0" => Ok(Self::TreeZero),
            _ => Err(()),
        }
    }
}

/// Proxies by the git server's domain: the platform's `REPO_PROXY_CONFIG`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepoProxies(BTreeMap<String, Proxies>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Proxies {
    http: Option<Url>,
    https: Option<Url>,
}

/// `REPO_PROXY_CONFIG` is not what it should be. The value isn't shown: it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a JSON object of domains, each with `http.proxy` or `https.proxy` URLs")]
pub struct BadProxies;

impl FromStr for RepoProxies {
    type Err = BadProxies;

    fn from_str(text: &str) -> Result<Self, BadProxies> {
        type Wire = BTreeMap<String, BTreeMap<String, serde_json::Value>>;
        let mut json = serde_json::Deserializer::from_str(text);
        let wire = Wire::deserialize(&mut json).map_err(|_| BadProxies)?;
        json.end().map_err(|_| BadProxies)?;
        let mut proxies = BTreeMap::new();
        for (domain, keys) in wire {
            let entry: &mut Proxies = proxies.entry(domain.to_lowercase()).or_default();
            for (key, value) in keys {
                let slot = match key.to_ascii_lowercase().as_str() {
                    "http.proxy" => &mut entry.http,
                    "https.proxy" => &mut entry.https,
                    _ => continue,
                };
                *slot = Some(proxy(value.as_str().unwrap_or_default())?);
            }
        }
        Ok(Self(proxies))
    }
}

/// curl takes a bare `host:port` for an http proxy.
fn proxy(text: &str) -> Result<Url, BadProxies> {
    let with_scheme = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    Url::parse(&with_scheme)
        .ok()
        .filter(Url::has_host)
        .ok_or(BadProxies)
}

impl RepoProxies {
    /// The proxy for a server: by its domain with its port, without, or `*`.
    pub(super) fn of(&self, origin: &Origin, host: &str) -> Option<&Url> {
        let authority = origin.authority();
        let entry = [authority.as_str(), host, "*"]
            .iter()
            .find_map(|domain| self.0.get(&domain.to_lowercase()))?;
        // git itself knows `http.proxy` only, for both.
        if origin.to_string().starts_with("https:") {
            entry.https.as_ref().or(entry.http.as_ref())
        } else {
            entry.http.as_ref()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::Remote;

    fn of<'a>(proxies: &'a RepoProxies, url: &str) -> Option<&'a str> {
        let remote: Remote = url.parse().unwrap();
        proxies
            .of(remote.origin().unwrap(), remote.host())
            .map(Url::as_str)
    }

    #[test]
    fn a_proxy_is_found_by_its_servers_domain() {
        let proxies: RepoProxies =
            r#"{"Git.example": {"HTTP.proxy": "p:1", "https.proxy": "http://s:2", "x": 1},
            "git.example:8443": {"http.proxy": "http://q:3"}, "*": {"http.proxy": "http://any:4"}}"#
                .parse()
                .unwrap();
        assert_eq!(of(&proxies, "http://git.example/a"), Some("http://p:1/"));
        assert_eq!(of(&proxies, "https://git.example/a"), Some("http://s:2/"));
        assert_eq!(
            of(&proxies, "https://git.example:8443/a"),
            Some("http://q:3/")
        );
        assert_eq!(
            of(&proxies, "https://else.example/a"),
            Some("http://any:4/")
        );
        assert_eq!(of(&RepoProxies::default(), "https://else.example/a"), None);
        for bad in [
            "",
            "[]",
            r#"{"a": "b"}"#,
            r#"{"a": {"http.proxy": 3}}"#,
            "{} x",
        ] {
            assert_eq!(bad.parse::<RepoProxies>(), Err(BadProxies), "{bad}");
        }
    }

    #[test]
    fn patterns_are_plain() {
        assert_eq!(
            "release/*".parse::<BranchPattern>().unwrap().as_str(),
            "release/*"
        );
        for bad in ["", "a b", "a;b", "$(x)", "a|b", "a)"] {
            assert_eq!(bad.parse::<BranchPattern>(), Err(BadPattern), "{bad}");
        }
    }
}
