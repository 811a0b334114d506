//! Tokens that the platform encrypts on their way: AES-256-CBC with PKCS#7 padding, in base64.
//!
//! Whether a token is encrypted isn't said. It is taken for it if it's base64 of whole blocks, and used as it came if it
//! then turns out not to decrypt to the printable text that every token is.

use std::fmt;

use aes::Aes256;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use cbc::cipher::{BlockDecryptMut, KeyIvInit, block_padding::Pkcs7};
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};

use super::GitError;

/// The platform's key where no other is configured. It's in its public source, so it hides nothing.
const DEFAULT_KEY: &str = "12345678901234567890123456789012";
/// Likewise its initialisation vector.
const DEFAULT_IV: &str = "1234567890123456";
const BLOCK: usize = 16;

/// Decrypts tokens. Shows nothing of its key when debugged.
#[derive(Clone)]
pub struct TokenCipher(Result<Keys, String>);

#[derive(Clone)]
struct Keys {
    key: Zeroizing<[u8; 32]>,
    iv: Zeroizing<[u8; 16]>,
}

impl TokenCipher {
    /// A cipher with the configured key and vector; the platform's own stand in for what is missing. If one of them has a
    /// wrong length, tokens that are not encrypted still pass.
    pub fn new(key: Option<&SecretString>, iv: Option<&SecretString>) -> Self {
        let key = key.map_or(DEFAULT_KEY, |key| key.expose_secret());
        let iv = iv.map_or(DEFAULT_IV, |iv| iv.expose_secret());
        let keys = match (key.as_bytes().try_into(), iv.as_bytes().try_into()) {
            (Ok(key), Ok(iv)) => Ok(Keys {
                key: Zeroizing::new(key),
                iv: Zeroizing::new(iv),
            }),
            (Err(_), _) => Err(format!("GIT_TOKEN_AES_KEY has {} bytes, not 32", key.len())),
            (_, Err(_)) => Err(format!("GIT_TOKEN_AES_IV has {} bytes, not 16", iv.len())),
        };
        Self(keys)
    }

    /// The token in clear.
    ///
    /// # Errors
    /// [`GitError::Token`] if it looks encrypted and there is no usable key.
    pub fn reveal(&self, token: &SecretString) -> Result<SecretString, GitError> {
        let Some(mut blocks) = encrypted_blocks(token.expose_secret()) else {
            return Ok(token.clone());
        };
        let keys = self
            .0
            .as_ref()
            .map_err(|why| GitError::Token { why: why.clone() })?;
        let cipher = cbc::Decryptor::<Aes256>::new((&*keys.key).into(), (&*keys.iv).into());
        let plain = cipher
            .decrypt_padded_mut::<Pkcs7>(&mut blocks)
            .ok()
            .and_then(|plain| std::str::from_utf8(plain).ok())
            .filter(|plain| !plain.is_empty() && plain.bytes().all(|byte| byte.is_ascii_graphic()));
        Ok(plain.map_or_else(|| token.clone(), SecretString::from))
    }
}

impl Default for TokenCipher {
    fn default() -> Self {
        Self::new(None, None)
    }
}

impl fmt::Debug for TokenCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenCipher(…)")
    }
}

/// What the token is base64 of, if it's one or more whole blocks.
fn encrypted_blocks(token: &str) -> Option<Zeroizing<Vec<u8>>> {
    let bytes = Zeroizing::new(STANDARD.decode(token.trim()).ok()?);
    (!bytes.is_empty() && bytes.len() % BLOCK == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CIPHERTEXT: &str = "FcOsMvQ5iPbrbd92nF4lJXezlFfHKEGK50OvgjVTY48=";

    fn reveal(cipher: &TokenCipher, token: &str) -> Result<String, GitError> {
        Ok(cipher.reveal(&token.into())?.expose_secret().to_owned())
    }

    #[test]
    fn the_platforms_vector_is_decrypted() {
        let configured = TokenCipher::new(Some(&DEFAULT_KEY.into()), Some(&DEFAULT_IV.into()));
        for cipher in [configured, TokenCipher::default()] {
            assert_eq!(
                reveal(&cipher, CIPHERTEXT).unwrap(),
                "glpat-example-token-0001"
            );
        }
    }

    #[test]
    fn what_is_not_encrypted_stays_as_it_is() {
        let cipher = TokenCipher::default();
        // The last two are base64 of whole blocks, and decrypt to nothing.
        for token in [
            "ghp_0123456789abcdefghijABCDEFGHIJ012345",
            "x",
            "AAAAAAAAAAAAAAAAAAAAAA==",
            "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        ] {
            assert_eq!(reveal(&cipher, token).unwrap(), token);
        }
    }

    #[test]
    fn another_key_gives_what_came() {
        let other = TokenCipher::new(Some(&"k".repeat(32).into()), None);
        assert_eq!(reveal(&other, CIPHERTEXT).unwrap(), CIPHERTEXT);
    }

    #[test]
    fn a_key_of_a_wrong_length_is_named_when_it_is_needed() {
        let short = TokenCipher::new(None, Some(&"abc".into()));
        assert_eq!(reveal(&short, "plain").unwrap(), "plain");
        let error = reveal(&short, CIPHERTEXT).unwrap_err().to_string();
        assert_eq!(
            error,
            "user.git_token is encrypted, and GIT_TOKEN_AES_IV has 3 bytes, not 16"
        );
    }
}
