//! A URL that we may call.

use std::fmt;

use reqwest::Url;

/// An absolute `http` or `https` URL with a host. Printing it shows neither password nor query.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpUrl(Url);

impl HttpUrl {
    /// Parses a URL.
    ///
    /// # Errors
    /// [`NotAnHttpUrl`] if it is not absolute, or of another scheme, or without a host.
    ///
    /// ```
    /// # use http_client::HttpUrl;
    /// let callbacks = HttpUrl::parse("http://manager:8001/executor-manager/callback").unwrap();
    /// assert_eq!(callbacks.join(&["tasks", "7/8"]).path(), "/executor-manager/callback/tasks/7%2F8");
    /// assert!(HttpUrl::parse("manager:8001").is_err());
    /// ```
    pub fn parse(text: &str) -> Result<Self, NotAnHttpUrl> {
        let url = Url::parse(text.trim()).map_err(|_| NotAnHttpUrl)?;
        if matches!(url.scheme(), "http" | "https") && url.has_host() {
            Ok(Self(url))
        } else {
            Err(NotAnHttpUrl)
        }
    }

    /// The URL as the HTTP client takes it.
    pub fn as_url(&self) -> &Url {
        &self.0
    }

    /// Whether TLS is needed.
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// This URL with `segments` after its path, each percent-encoded.
    pub fn join(&self, segments: &[&str]) -> Url {
        let mut url = self.0.clone();
        url.path_segments_mut()
            .expect("a URL with a host has a path")
            .pop_if_empty()
            .extend(segments);
        url
    }

    /// This URL without the path's `ending`; `None` if the path doesn't end so.
    pub fn without_ending(&self, ending: &str) -> Option<Self> {
        let path = self.0.path().trim_end_matches('/').strip_suffix(ending)?;
        let mut url = self.0.clone();
        url.set_path(path);
        url.set_query(None);
        Some(Self(url))
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.0.host_str().unwrap_or_default();
        write!(f, "{}://{host}", self.0.scheme())?;
        if let Some(port) = self.0.port() {
            write!(f, ":{port}")?;
        }
        f.write_str(self.0.path())
    }
}

impl fmt::Debug for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpUrl({self})")
    }
}

/// A text is not a URL that we may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected an http or https URL")]
pub struct NotAnHttpUrl;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_absolute_http_urls_with_a_host_pass() {
        for good in ["http://a", "https://a:1/b?c", " http://10.0.0.1:80/x/ "] {
            assert!(HttpUrl::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "a", "a:1", "/b", "ftp://a", "file:///etc", "http://"] {
            assert!(HttpUrl::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_printed_url_shows_no_credentials() {
        let url = HttpUrl::parse("http://user:hunter2@a:81/b?token=hunter2").unwrap();
        assert_eq!(url.to_string(), "http://a:81/b");
        assert!(!format!("{url:?}").contains("hunter2"));
    }

    #[test]
    fn an_ending_is_removed_with_or_without_a_slash_after_it() {
        for text in ["http://a/m/callback", "http://a/m/callback/"] {
            let base = HttpUrl::parse(text).unwrap().without_ending("/callback");
            assert_eq!(base.unwrap().to_string(), "http://a/m");
        }
        let other = HttpUrl::parse("http://a/callback/x").unwrap();
        assert_eq!(other.without_ending("/callback"), None);
    }
}
