//! The certificates that the TLS client trusts.

use std::{fs, path::Path};

use reqwest::{Certificate, Client};

use crate::{ClientError, Settings, clients::builder};

/// The client with what it trusts. Reads files; milliseconds.
pub(crate) fn load(settings: &Settings) -> Result<Client, ClientError> {
    let own = match &settings.ca_file {
        Some(path) => read(path)?,
        None => Vec::new(),
    };
    let new = || builder(settings).map_err(ClientError::Tls);
    // Fails if the system has no certificate. Tried without our own first: with them it can't fail, and an
    // image without a bundle would know no public host.
    match new()?.build() {
        Ok(client) if own.is_empty() => Ok(client),
        Ok(_) => new()?
            .tls_certs_merge(own)
            .build()
            .map_err(ClientError::Tls),
        Err(error) => {
            tracing::warn!(%error, "no system certificates: using the built-in ones");
            new()?
                .tls_certs_only(built_in().chain(own))
                .build()
                .map_err(ClientError::Tls)
        }
    }
}

fn built_in() -> impl Iterator<Item = Certificate> {
    webpki_root_certs::TLS_SERVER_ROOT_CERTS
        .iter()
        .filter_map(|root| Certificate::from_der(root).ok())
}

fn read(path: &Path) -> Result<Vec<Certificate>, ClientError> {
    let unreadable = |source| ClientError::CaFile {
        path: path.to_owned(),
        source,
    };
    let pem = fs::read(path).map_err(unreadable)?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(ClientError::NoCertificate {
            path: path.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_roots_make_a_client() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        assert!(built_in().count() > 50);
        let builder = builder(&Settings::default()).unwrap();
        builder.tls_certs_only(built_in()).build().unwrap();
    }

    #[test]
    fn a_ca_file_that_is_missing_or_holds_no_certificate_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let missing = read(&path).unwrap_err();
        assert!(matches!(missing, ClientError::CaFile { .. }), "{missing}");
        fs::write(&path, "no certificate").unwrap();
        let empty = read(&path).unwrap_err();
        assert!(matches!(empty, ClientError::NoCertificate { .. }));
        assert!(empty.to_string().contains("ca.pem"), "{empty}");
    }
}
