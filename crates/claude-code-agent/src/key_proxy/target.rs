//! Where requests go, and what makes them welcome there.

use std::fmt;

use http_client::{HttpUrl, NotAnHttpUrl};
use redact::Secrets;
use reqwest::{
    Url,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use secrecy::{ExposeSecret, SecretString};

use super::headers::is_framing;

/// The model's API as a lease's requests reach it. Printing it shows no value of a header.
#[derive(Clone)]
pub struct Target {
    base: HttpUrl,
    headers: HeaderMap,
    /// What an answer must not repeat.
    pub(super) secrets: Secrets,
}

/// A [`Target`] can't be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// The base URL is none.
    #[error("the base URL of the model")]
    Url(#[from] NotAnHttpUrl),
    /// The base URL has a query, and a path is to be put after it.
    #[error("the base URL of the model has a query")]
    Query,
    /// A header's name is none.
    #[error("not the name of a header: {name:?}")]
    HeaderName {
        /// The name.
        name: String,
    },
    /// A header's value can't be sent.
    #[error("the value of the header {name} can't be sent")]
    HeaderValue {
        /// Its name.
        name: HeaderName,
    },
    /// A header that only the connection itself may set.
    #[error("the header {name} can't be set")]
    Framing {
        /// Its name.
        name: HeaderName,
    },
}

impl Target {
    /// A target. `base_url` is what the CLI would get as `ANTHROPIC_BASE_URL`; a user and a password in it become
    /// an `authorization: Basic` header. `headers` are added to each request in place of the CLI's of the same
    /// name: `x-api-key` or `authorization`, and secret ones of the model's configuration. If a name comes
    /// twice, the last one counts.
    ///
    /// # Errors
    /// [`TargetError`] says what can't be sent.
    pub fn new<Name: AsRef<str>>(
        base_url: &str,
        headers: impl IntoIterator<Item = (Name, SecretString)>,
    ) -> Result<Self, TargetError> {
        let base = HttpUrl::parse(base_url)?;
        if base.as_url().query().is_some() {
            return Err(TargetError::Query);
        }
        let mut target = Self {
            base,
            headers: HeaderMap::new(),
            secrets: Secrets::new(),
        };
        if let Some(password) = target.base.as_url().password() {
            target.secrets.add(password);
        }
        for (name, value) in headers {
            target.add(name.as_ref().trim(), value.expose_secret().trim())?;
        }
        Ok(target)
    }

    fn add(&mut self, name: &str, value: &str) -> Result<(), TargetError> {
        let name: HeaderName = name.parse().map_err(|_| TargetError::HeaderName {
            name: name.to_owned(),
        })?;
        if is_framing(&name) {
            return Err(TargetError::Framing { name });
        }
        let Ok(mut header) = HeaderValue::from_bytes(value.as_bytes()) else {
            return Err(TargetError::HeaderValue { name });
        };
        header.set_sensitive(true);
        self.headers.insert(name, header);
        self.secrets.add(value);
        // A scheme isn't secret, and without it the key is still the key.
        if let Some((_scheme, credentials)) = value.split_once(' ') {
            self.secrets.add(credentials);
        }
        Ok(())
    }

    /// Where the API is.
    pub(super) fn base(&self) -> &HttpUrl {
        &self.base
    }

    /// The API's address without path or credentials.
    pub(super) fn origin(&self) -> String {
        self.base.as_url().origin().ascii_serialization()
    }

    /// The address of a path under the base URL.
    pub(super) fn url(&self, path: &[&str], query: Option<&str>) -> Url {
        let mut url = self.base.join(path);
        url.set_query(query);
        url
    }

    /// What is put on each request.
    pub(super) fn headers(&self) -> &HeaderMap {
        &self.headers
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("base", &self.base)
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(base: &str, name: &str, value: &str) -> Result<Target, TargetError> {
        Target::new(base, [(name, value.into())])
    }

    #[test]
    fn a_printed_target_shows_neither_values_nor_credentials() {
        let base = "https://user:hunter22@api.invalid/x";
        let target = target(base, "X-Api-Key", "sk-real-key").unwrap();
        let shown = format!("{target:?}");
        assert!(shown.contains("x-api-key") && shown.contains("https://api.invalid/x"));
        assert!(!shown.contains("hunter22") && !shown.contains("sk-real"));
        assert_eq!(target.origin(), "https://api.invalid");
    }

    #[test]
    fn a_path_is_put_after_the_bases_own_and_the_query_kept() {
        for base in ["http://a/b", "http://a/b/"] {
            let target = target(base, "x-api-key", "k").unwrap();
            let url = target.url(&["v1", "messages"], Some("beta=true"));
            assert_eq!(url.as_str(), "http://a/b/v1/messages?beta=true");
        }
    }

    #[test]
    fn what_cannot_be_sent_is_refused_without_showing_the_value() {
        let good = "https://api.invalid";
        for (base, name, value) in [
            ("api.invalid", "x-api-key", "hunter22"),
            ("https://api.invalid?a=b", "x-api-key", "hunter22"),
            (good, "x api key", "hunter22"),
            (good, "x-api-key", "hunter22\r\nx: y"),
            (good, "Transfer-Encoding", "hunter22"),
            (good, "content-length", "hunter22"),
        ] {
            let error = target(base, name, value).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("hunter22"), "{shown}");
        }
    }
}
