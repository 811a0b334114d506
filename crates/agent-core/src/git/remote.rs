//! Where a repository lies: URLs, taken apart and put together again.
//!
//! A request's URL is never handed to git as it came. It's parsed here, what isn't understood is refused, and git gets
//! what was understood: so the two can't be of different minds about the host that a token is for.

use std::{fmt, str::FromStr};

use secrecy::SecretString;
use url::Url;

use super::GitError;

/// A repository's place that git may be told.
///
/// ```
/// use agent_core::git::Remote;
///
/// let remote: Remote = "https://alice:pw@git.example/shop/web.git".parse().unwrap();
/// assert_eq!(remote.to_string(), "https://git.example/shop/web.git");
/// assert_eq!(remote.folder_name().unwrap(), "web");
/// assert!("ext::sh -c id".parse::<Remote>().is_err());
/// assert!("--upload-pack=id".parse::<Remote>().is_err());
/// ```
#[derive(Clone, Debug)]
pub struct Remote {
    place: Place,
    path: String,
    in_url: Option<InUrl>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// `http://` and `https://`.
    Web(Origin),
    /// `ssh://` and `git://`: the part before the path, as it was written.
    Url { front: String, host: String },
    /// `user@host:`, ssh in scp's way of writing.
    Scp { front: String, host: String },
}

/// Credentials that stood in the URL. They are taken out of it.
#[derive(Clone, Debug)]
pub struct InUrl {
    /// The user's name.
    pub username: String,
    /// The password or token, if there was one.
    pub password: Option<SecretString>,
}

/// Scheme, host and port of a web server: what a credential is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    scheme: &'static str,
    host: String,
    /// Only if it isn't the scheme's own.
    port: Option<u16>,
}

impl Origin {
    /// The origin that git's credential protocol names with `protocol` and `host`.
    pub fn of_question(protocol: &str, host: &str) -> Option<Self> {
        let url = Url::parse(&format!("{protocol}://{host}/")).ok()?;
        // A host that changes the URL's meaning is no host.
        (url.path() == "/" && url.username().is_empty() && url.password().is_none())
            .then(|| Self::of_url(&url))?
    }

    /// The origin of a URL; `None` if it's not a web server's.
    pub(super) fn of_url(url: &Url) -> Option<Self> {
        let scheme = match url.scheme() {
            "http" => "http",
            "https" => "https",
            _ => return None,
        };
        Some(Self {
            scheme,
            host: url.host_str()?.to_owned(),
            port: url.port(),
        })
    }

    /// The host, without a port.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// `host`, or `host:port` for a port that isn't the scheme's own.
    pub fn authority(&self) -> String {
        match self.port {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.clone(),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority())
    }
}

impl FromStr for Remote {
    type Err = GitError;

    fn from_str(text: &str) -> Result<Self, GitError> {
        let text = text.trim();
        let wrong = |why| GitError::Url { why };
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(wrong("it contains a blank or a control character"));
        }
        if text.starts_with('-') {
            return Err(wrong("it begins with a dash"));
        }
        match text.split_once("://") {
            Some(_) => Self::url(text),
            None => Self::scp(text),
        }
    }
}

impl Remote {
    fn url(text: &str) -> Result<Self, GitError> {
        let wrong = |why| GitError::Url { why };
        let url = Url::parse(text).map_err(|_| wrong("it is not a URL"))?;
        let host = url
            .host_str()
            .filter(|host| !host.is_empty() && !host.starts_with('-'))
            .ok_or_else(|| wrong("it names no host"))?
            .to_owned();
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("it has a query or a fragment"));
        }
        let path = url.path().to_owned();
        if let Some(origin) = Origin::of_url(&url) {
            return Ok(Self {
                place: Place::Web(origin),
                path,
                in_url: in_url(&url),
            });
        }
        let user = match (url.scheme(), url.username()) {
            ("ssh" | "git", "") => String::new(),
            ("ssh", user) if !user.starts_with('-') && url.password().is_none() => {
                format!("{user}@")
            }
            ("ssh" | "git", _) => return Err(wrong("its user can't be used")),
            _ => return Err(wrong("only http, https, ssh and git URLs can be cloned")),
        };
        let port = url.port().map_or(String::new(), |port| format!(":{port}"));
        Ok(Self {
            place: Place::Url {
                front: format!("{}://{user}{host}{port}", url.scheme()),
                host,
            },
            path,
            in_url: None,
        })
    }

    /// `user@host:path`, with nothing in it that git or ssh could take for something else.
    fn scp(text: &str) -> Result<Self, GitError> {
        let wrong = |why| GitError::Url { why };
        let (front, path) = text
            .split_once(':')
            .filter(|(front, _)| !front.contains('/'))
            .ok_or_else(|| wrong("only http, https, ssh and git URLs can be cloned"))?;
        let host = front.rsplit_once('@').map_or(front, |(_, host)| host);
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-@".contains(c);
        let sound = !host.is_empty() && !host.starts_with('-') && front.chars().all(plain);
        if !sound || path.is_empty() || path.starts_with(':') {
            return Err(wrong("it is not a URL"));
        }
        Ok(Self {
            place: Place::Scp {
                front: front.to_owned(),
                host: host.to_owned(),
            },
            path: path.to_owned(),
            in_url: None,
        })
    }

    /// What a credential for it is for; `None` if it isn't reached over http.
    pub fn origin(&self) -> Option<&Origin> {
        match &self.place {
            Place::Web(origin) => Some(origin),
            Place::Url { .. } | Place::Scp { .. } => None,
        }
    }

    /// Its host, without a port.
    pub fn host(&self) -> &str {
        match &self.place {
            Place::Web(origin) => &origin.host,
            Place::Url { host, .. } | Place::Scp { host, .. } => host,
        }
    }

    /// The credentials that stood in its URL.
    pub fn in_url(&self) -> Option<&InUrl> {
        self.in_url.as_ref()
    }

    /// The name of the folder it's cloned into: the last part of its path without `.git`, and without anything from
    /// `/-/` on, which is where GitLab's own pages begin.
    ///
    /// # Errors
    /// [`GitError::Url`] if that is no name of a folder.
    pub fn folder_name(&self) -> Result<String, GitError> {
        let path = self.path.split("/-/").next().unwrap_or_default();
        let last = path.trim_end_matches('/').rsplit(['/', ':']).next();
        let name = decoded(last.unwrap_or_default());
        let name = name.strip_suffix(".git").unwrap_or(&name);
        let bad = name.is_empty()
            || name.starts_with('.')
            || name.len() > 200
            || name.contains(|c: char| c == '/' || c.is_control());
        if bad {
            return Err(GitError::Url {
                why: "its last part can't be the name of a folder",
            });
        }
        Ok(name.to_owned())
    }
}

/// As git is told it: without credentials.
impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Web(origin) => write!(f, "{origin}{}", self.path),
            Place::Url { front, .. } => write!(f, "{front}{}", self.path),
            Place::Scp { front, .. } => write!(f, "{front}:{}", self.path),
        }
    }
}

fn in_url(url: &Url) -> Option<InUrl> {
    let password = url.password().map(|text| SecretString::from(decoded(text)));
    (!url.username().is_empty() || password.is_some()).then(|| InUrl {
        username: decoded(url.username()),
        password,
    })
}

/// Percent escapes resolved; what isn't UTF-8 then, stays as it was.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        plain.push(escape.unwrap_or(bytes[at]));
        at += if escape.is_some() { 3 } else { 1 };
    }
    String::from_utf8(plain).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn remote(text: &str) -> Remote {
        text.parse().unwrap()
    }

    #[test]
    fn what_git_is_told_has_no_credentials() {
        for (text, told, host, folder) in [
            (
                "http://git.example:8090/e2e/demo.git",
                "http://git.example:8090/e2e/demo.git",
                "git.example",
                "demo",
            ),
            (
                "https://u:p%40w@GIT.example:443/a/b",
                "https://git.example/a/b",
                "git.example",
                "b",
            ),
            (
                "https://git.example/a/b.git/",
                "https://git.example/a/b.git/",
                "git.example",
                "b",
            ),
            (
                "https://git.example/a/b/-/tree/main",
                "https://git.example/a/b/-/tree/main",
                "git.example",
                "b",
            ),
            (
                "git@git.example:a/b.git",
                "git@git.example:a/b.git",
                "git.example",
                "b",
            ),
            ("git.example:b.git", "git.example:b.git", "git.example", "b"),
            (
                "ssh://git@git.example:2222/a/b.git",
                "ssh://git@git.example:2222/a/b.git",
                "git.example",
                "b",
            ),
            (
                "git://git.example/a/b",
                "git://git.example/a/b",
                "git.example",
                "b",
            ),
        ] {
            let remote = remote(text);
            assert_eq!(remote.to_string(), told);
            assert_eq!(remote.host(), host, "{text}");
            assert_eq!(remote.folder_name().unwrap(), folder, "{text}");
        }
        let given = remote("https://u:p%40w@git.example/a")
            .in_url()
            .cloned()
            .unwrap();
        assert_eq!(given.username, "u");
        assert_eq!(given.password.unwrap().expose_secret(), "p@w");
    }

    #[test]
    fn what_could_run_a_program_or_read_a_file_is_refused() {
        for text in [
            "",
            "--upload-pack=touch /tmp/x",
            "-x:y",
            "ext::sh -c touch% /tmp/x",
            "ext::sh",
            "file:///etc",
            "/etc",
            "../x",
            "./x:y",
            "fd::3",
            "ssh://-oProxyCommand=id/x",
            "-oProxyCommand=id:x",
            "git@-oProxyCommand=id:x",
            "ssh://-oProxyCommand=x@host/y",
            "https://h/x?y=z",
            "https://h/x#y",
            "ftp://h/x",
            "https://h/a b",
            "https://h/a\nb",
            "persistent-https://h/x",
            "host::x",
            "git://u@h/x",
            "ssh://u:p@h/x",
        ] {
            assert!(text.parse::<Remote>().is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn a_folder_name_stays_in_its_folder() {
        for text in [
            "https://h/..",
            "https://h/",
            "https://h/a/.git",
            "https://h/%2e%2e",
            "https://h/a/..%2f..%2fx",
            "https://h/.wegent-executor",
            "https://h/a%0ab",
            "h:..",
            "h:/",
            "https://h/-/x",
        ] {
            let named = text
                .parse::<Remote>()
                .and_then(|remote| remote.folder_name());
            assert!(named.is_err(), "{text}: {named:?}");
        }
    }

    #[test]
    fn an_origin_is_exact() {
        let https = remote("https://git.example/a").origin().cloned().unwrap();
        assert_eq!(
            Origin::of_question("https", "git.example"),
            Some(https.clone())
        );
        assert_eq!(
            Origin::of_question("https", "GIT.example:443"),
            Some(https.clone())
        );
        for (protocol, host) in [
            ("http", "git.example"),
            ("https", "git.example:8443"),
            ("https", "git.example.evil"),
            ("https", "evil@git.example"),
            ("https", "git.example/x"),
            ("ssh", "git.example"),
            ("https", ""),
        ] {
            assert_ne!(
                Origin::of_question(protocol, host),
                Some(https.clone()),
                "{protocol} {host}"
            );
        }
    }
}
