//! What an operator says about git.

use std::{num::NonZeroU32, time::Duration};

use agent_core::git::{BranchPattern, Filter, RepoProxies, TokenCipher};
use secrecy::SecretString;

use super::{Problem, ProblemKind, names, reader::Reader};

/// What an operator says about git. Where nothing is said, the defaults of [`agent_core::git::GitSettings`] stand.
#[derive(Clone, Debug, Default)]
pub struct GitConfig {
    /// Decrypts the platform's tokens.
    pub cipher: TokenCipher,
    /// Hosts from which nothing is cloned without a token.
    pub protected_domains: Vec<String>,
    /// Proxies by the git server's domain.
    pub proxies: RepoProxies,
    /// Branches that tools can't push to by accident; `None` leaves the choice to the defaults.
    pub protected_branches: Option<Vec<BranchPattern>>,
    /// How many commits of the history are fetched.
    pub depth: Option<NonZeroU32>,
    /// Which objects are left out until they are needed.
    pub filter: Option<Filter>,
    /// How long a clone may take.
    pub clone_limit: Option<Duration>,
}

/// The platform's own two variables can be wrong without keeping the executor from working: most tasks don't need them.
pub(super) fn git(reader: &mut Reader<'_>, warnings: &mut Vec<Problem>) -> GitConfig {
    GitConfig {
        cipher: cipher(reader, warnings),
        protected_domains: protected_domains(reader),
        proxies: proxies(reader, warnings),
        protected_branches: protected_branches(reader),
        depth: reader.number(names::WEGENT_GIT_DEPTH, "a number of commits above 0"),
        filter: reader.parsed(names::WEGENT_GIT_FILTER, "blob:none or tree:0", |text| {
            text.parse().ok()
        }),
        clone_limit: reader.seconds(names::WEGENT_GIT_CLONE_TIMEOUT_SECONDS),
    }
}

fn cipher(reader: &mut Reader<'_>, warnings: &mut Vec<Problem>) -> TokenCipher {
    let mut secret = |variable, bytes, expected| {
        let text = reader.text(variable)?;
        if text.len() != bytes {
            let kind = ProblemKind::UnexpectedSecret { expected };
            warnings.push(Problem { variable, kind });
        }
        Some(SecretString::from(text))
    };
    let key = secret(
        names::GIT_TOKEN_AES_KEY,
        32,
        "32 bytes; encrypted git tokens can't be used",
    );
    let iv = secret(
        names::GIT_TOKEN_AES_IV,
        16,
        "16 bytes; encrypted git tokens can't be used",
    );
    TokenCipher::new(key.as_ref(), iv.as_ref())
}

fn protected_domains(reader: &mut Reader<'_>) -> Vec<String> {
    let list = reader.text(names::PROTECTED_GIT_CREDENTIAL_DOMAINS);
    words(list.unwrap_or_default())
        .map(str::to_lowercase)
        .collect()
}

fn proxies(reader: &mut Reader<'_>, warnings: &mut Vec<Problem>) -> RepoProxies {
    let variable = names::REPO_PROXY_CONFIG;
    let Some(text) = reader.text(variable) else {
        return RepoProxies::default();
    };
    text.parse().unwrap_or_else(|_| {
        let expected =
            "a JSON object of domains, each with `http.proxy` or `https.proxy` URLs; going without";
        let kind = ProblemKind::UnexpectedSecret { expected };
        warnings.push(Problem { variable, kind });
        RepoProxies::default()
    })
}

/// `none` protects nothing.
fn protected_branches(reader: &mut Reader<'_>) -> Option<Vec<BranchPattern>> {
    let expected = "names of branches, such as `main,release/*`, or `none`";
    reader.parsed(names::WEGENT_PROTECTED_BRANCHES, expected, |text| {
        if text.eq_ignore_ascii_case("none") {
            return Some(Vec::new());
        }
        words(text).map(|name| name.parse().ok()).collect()
    })
}

fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
}
