//! Wegent's backend, as the preparation of a turn asks it.

mod answer;

use std::time::Duration;

use agent_core::downloads::{
    Access, Body, ContentHash, DownloadError, Downloads, Fetched, SkillId,
};
use futures::future::BoxFuture;
use http_client::{ClientError, HttpClients, HttpUrl};
use reqwest::{Response, StatusCode, Url, header};
use secrecy::ExposeSecret;
use wegent_protocol::backend::{self, Resource};

/// Where the backend is when neither the operator nor the request says it.
const USUAL_URL: &str = "http://wegent-backend:8000";
/// How long it may take to begin an answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// How often a request is sent on to another place of the same host.
const MOST_REDIRECTS: usize = 3;

/// Asks the backend over HTTP. The token goes to one host only: the operator's, else the one of the request.
#[derive(Clone, Debug)]
pub struct Backend {
    clients: HttpClients,
    url: Option<HttpUrl>,
}

impl Backend {
    /// Asks at `url`, or, without one, where a request says.
    pub fn new(clients: HttpClients, url: Option<HttpUrl>) -> Self {
        Self { clients, url }
    }

    fn base(&self, access: &Access) -> Result<HttpUrl, DownloadError> {
        match &self.url {
            Some(url) => Ok(url.clone()),
            None => HttpUrl::parse(access.backend_url.as_deref().unwrap_or(USUAL_URL))
                .map_err(|_| DownloadError::BadAddress),
        }
    }

    /// Asks for a resource and gives the answer if it is one of success, or 304 to a condition.
    async fn get(
        &self,
        access: &Access,
        resource: &Resource,
        known: Option<&ContentHash>,
    ) -> Result<Response, DownloadError> {
        let base = self.base(access)?;
        let client = self.clients.client_for(&base).await.map_err(no_client)?;
        let mut url = address(&base, resource);
        for _ in 0..=MOST_REDIRECTS {
            let mut request = client
                .get(url.clone())
                .bearer_auth(access.token.expose_secret());
            if let Some(hash) = known {
                request = request.header(header::IF_NONE_MATCH, backend::condition(hash));
            }
            let response = tokio::time::timeout(ANSWER_LIMIT, request.send())
                .await
                .map_err(|_| silent())?
                .map_err(answer::broken)?;
            match response.status() {
                StatusCode::NOT_MODIFIED if known.is_some() => return Ok(response),
                status if status.is_success() => return Ok(response),
                status if status.is_redirection() => url = elsewhere(&response)?,
                _ => return Err(answer::refusal(response, &access.token).await),
            }
        }
        Err(DownloadError::Malformed("too many redirects".to_owned()))
    }
}

fn address(base: &HttpUrl, resource: &Resource) -> Url {
    let segments: Vec<&str> = resource.path.iter().map(String::as_str).collect();
    let mut url = base.join(&segments);
    if !resource.query.is_empty() {
        url.query_pairs_mut().extend_pairs(&resource.query);
    }
    url
}

/// Where an answer sends us, if it is the same host.
fn elsewhere(response: &Response) -> Result<Url, DownloadError> {
    let target = response
        .headers()
        .get(header::LOCATION)
        .and_then(|location| location.to_str().ok())
        .and_then(|location| response.url().join(location).ok())
        .ok_or_else(|| DownloadError::Malformed("a redirect to nowhere".to_owned()))?;
    if target.origin() == response.url().origin() {
        Ok(target)
    } else {
        Err(DownloadError::Redirected)
    }
}

fn silent() -> DownloadError {
    DownloadError::Network("no answer in time".into())
}

fn no_client(error: ClientError) -> DownloadError {
    DownloadError::Network(Box::new(error))
}

impl Downloads for Backend {
    fn attachment<'a>(
        &'a self,
        access: &'a Access,
        id: i64,
    ) -> BoxFuture<'a, Result<Body, DownloadError>> {
        Box::pin(async move {
            let response = self.get(access, &backend::attachment(id), None).await?;
            // Its ETag need not be a hash of the bytes.
            Ok(Body {
                hash: None,
                ..answer::body(response)
            })
        })
    }

    fn find_skill<'a>(
        &'a self,
        access: &'a Access,
        name: &'a str,
        namespace: &'a str,
    ) -> BoxFuture<'a, Result<Option<SkillId>, DownloadError>> {
        Box::pin(async move {
            let resource = backend::skills_named(name, namespace, access.task);
            let response = self.get(access, &resource, None).await?;
            let list = answer::small(response).await?;
            backend::found_skill(&list, namespace)
                .map_err(|error| DownloadError::Malformed(error.to_string()))
        })
    }

    fn skill<'a>(
        &'a self,
        access: &'a Access,
        skill: &'a SkillId,
        known: Option<&'a ContentHash>,
    ) -> BoxFuture<'a, Result<Fetched, DownloadError>> {
        Box::pin(async move {
            let resource = backend::skill_archive(skill, access.task);
            let response = self.get(access, &resource, known).await?;
            if response.status() == StatusCode::NOT_MODIFIED {
                return Ok(Fetched::Unchanged);
            }
            Ok(Fetched::Body(answer::body(response)))
        })
    }
}
