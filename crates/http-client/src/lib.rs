//! The HTTP clients of everything we call ourselves: callbacks, heartbeats, downloads, the model's API.
//!
//! # Theory of operation
//! There are two clients behind one handle, [`HttpClients`]. The first knows no TLS roots and is made at the
//! start; it serves plain `http`, which is how Wegent's services are reached inside a deployment. The second
//! loads the certificates it trusts, which takes milliseconds (the first takes a tenth of one); it is made when
//! an `https` URL first asks for it.
//!
//! What it trusts: the files and folders named by `SSL_CERT_FILE` and `SSL_CERT_DIR`, else the system's bundle,
//! else, on an image that has none, the roots built into this crate (Mozilla's); and always [`Settings::ca_file`].
//!
//! Names are looked up by a resolver of our own (`names`), so that one static file runs in any image.
//!
//! # Guarantees
//! * Loopback is reached directly, whatever the proxies. The environment's proxy variables are not read here.
//! * No client follows redirects: a `POST` that is sent elsewhere would turn into a `GET`, and its headers may
//!   hold keys.
//! * No client has a timeout for a whole request: each caller sets its own.
//! * Printing a URL or the proxies shows no credentials.
//!
//! ```
//! # use http_client::{HttpClients, HttpUrl, Proxies};
//! # async fn f() -> Result<(), http_client::ClientError> {
//! let clients = HttpClients::new(Proxies::default())?;
//! let url = HttpUrl::parse("http://manager:8001/health").expect("a constant");
//! let request = clients.client_for(&url).await?.get(url.as_url().clone());
//! # Ok(()) }
//! ```
#![warn(missing_docs)]

mod clients;
mod names;
mod roots;
mod settings;
mod url;

pub use clients::{ClientError, HttpClients};
pub use settings::{Proxies, Settings};
pub use url::{HttpUrl, NotAnHttpUrl};
