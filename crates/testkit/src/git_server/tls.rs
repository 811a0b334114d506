//! TLS in front of the server, by an authority that nobody trusts unless told to.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ServerConfig, pki_types::PrivatePkcs8KeyDer};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

/// Ends TLS and passes what is in it on.
#[derive(Debug)]
pub(crate) struct Tls {
    address: SocketAddr,
    authority: PathBuf,
    _passing: JoinSet<()>,
}

impl Tls {
    /// Listens under these names, and writes the authority's certificate to `folder`.
    pub(crate) async fn start(
        behind: SocketAddr,
        folder: &Path,
        names: &[&str],
    ) -> io::Result<Self> {
        let (config, pem) = certificates(names).map_err(io::Error::other)?;
        let authority = folder.join("authority.pem");
        std::fs::write(&authority, pem)?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let mut passing = JoinSet::new();
        passing.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(pass(acceptor.clone(), stream, behind));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self {
            address,
            authority,
            _passing: passing,
        })
    }

    pub(super) fn domain(&self) -> String {
        format!("localhost:{}", self.address.port())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn authority(&self) -> &Path {
        &self.authority
    }
}

/// Who doesn't trust us hangs up; that is for the test to notice.
async fn pass(acceptor: TlsAcceptor, stream: TcpStream, behind: SocketAddr) {
    if let Ok(mut outside) = acceptor.accept(stream).await
        && let Ok(mut inside) = TcpStream::connect(behind).await
    {
        let _ = copy_bidirectional(&mut outside, &mut inside).await;
    }
}

fn certificates(
    names: &[&str],
) -> Result<(ServerConfig, String), Box<dyn std::error::Error + Send + Sync>> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let names: Vec<String> = names.iter().copied().map(str::to_owned).collect();
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(names)?.signed_by(&key, &authority)?;
    let config =
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            )?;
    Ok((config, authority.pem()))
}
