//! What a CLI process gets, and what is known of it here.

use std::{
    collections::HashMap,
    fmt,
    net::SocketAddr,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use rand::RngCore;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::target::Target;

/// All leases that are open.
#[derive(Default)]
pub(super) struct Leases {
    open: RwLock<HashMap<u64, Arc<Grant>>>,
    next: AtomicU64,
}

/// What requests of one lease may do.
pub(super) struct Grant {
    /// Compared instead of the token itself, so that the time it takes tells nothing about the token.
    token_digest: [u8; 32],
    passes: AtomicUsize,
    target: RwLock<Arc<Target>>,
    /// The API's last answer broke off.
    broke_off: AtomicBool,
    /// Cancelled when the lease ends.
    pub(super) ended: CancellationToken,
}

impl Leases {
    pub(super) fn open(self: &Arc<Self>, address: SocketAddr, target: Target) -> Lease {
        let token = new_token();
        let grant = Arc::new(Grant {
            token_digest: digest(token.expose_secret().as_bytes()),
            passes: AtomicUsize::new(0),
            target: RwLock::new(Arc::new(target)),
            broke_off: AtomicBool::new(false),
            ended: CancellationToken::new(),
        });
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        open.insert(id, grant.clone());
        drop(open);
        Lease {
            id,
            address,
            token,
            grant,
            leases: self.clone(),
        }
    }

    pub(super) fn find(&self, id: u64) -> Option<Arc<Grant>> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.get(&id).cloned()
    }

    fn close(&self, id: u64) {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        let closed = open.remove(&id);
        drop(open);
        if let Some(grant) = closed {
            grant.ended.cancel();
        }
    }
}

impl Grant {
    pub(super) fn has_token(&self, given: &[u8]) -> bool {
        digest(given) == self.token_digest
    }

    /// Takes note of how the API's last answer goes.
    pub(super) fn breaks_off(&self, broke_off: bool) {
        self.broke_off.store(broke_off, Ordering::Release);
    }

    pub(super) fn turn_runs(&self) -> bool {
        self.passes.load(Ordering::Acquire) > 0
    }

    pub(super) fn target(&self) -> Arc<Target> {
        let target = self.target.read().unwrap_or_else(PoisonError::into_inner);
        target.clone()
    }
}

fn new_token() -> SecretString {
    let mut random = [0; 32];
    rand::rng().fill_bytes(&mut random);
    format!("wegent-{:x}", Hex(random)).into()
}

struct Hex([u8; 32]);

impl fmt::LowerHex for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn digest(text: &[u8]) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// One CLI process's way to the model. Dropping it makes its token worthless and breaks off what still runs.
#[must_use = "dropping a lease ends it"]
pub struct Lease {
    id: u64,
    address: SocketAddr,
    token: SecretString,
    grant: Arc<Grant>,
    leases: Arc<Leases>,
}

impl Lease {
    /// The CLI's `ANTHROPIC_BASE_URL`. The CLI must reach it directly: no proxy for 127.0.0.1.
    pub fn base_url(&self) -> String {
        format!("http://{}/{}", self.address, self.id)
    }

    /// What the CLI gets as its key: `ANTHROPIC_API_KEY` and `ANTHROPIC_AUTH_TOKEN` both do.
    pub fn token(&self) -> &SecretString {
        &self.token
    }

    /// Lets requests pass until the pass is dropped. Passes add up: requests pass while one is left.
    pub fn allow(&self) -> TurnPass {
        self.grant.passes.fetch_add(1, Ordering::AcqRel);
        TurnPass(self.grant.clone())
    }

    /// Whether the API's last answer broke off in its middle.
    pub fn broke_off(&self) -> bool {
        self.grant.broke_off.load(Ordering::Acquire)
    }

    /// Sends requests that come from now on to another target.
    pub fn retarget(&self, target: Target) {
        let new = Arc::new(target);
        let mut target = self
            .grant
            .target
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *target = new;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.leases.close(self.id);
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("base_url", &self.base_url())
            .field("target", &self.grant.target())
            .field("turn_runs", &self.grant.turn_runs())
            .finish_non_exhaustive()
    }
}

/// While it lives, a turn runs and its requests pass.
#[must_use = "requests pass only while the pass lives"]
pub struct TurnPass(Arc<Grant>);

impl Drop for TurnPass {
    fn drop(&mut self) {
        self.0.passes.fetch_sub(1, Ordering::AcqRel);
    }
}

impl fmt::Debug for TurnPass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TurnPass")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(leases: &Arc<Leases>) -> Lease {
        let target = Target::new("http://a", [("x-api-key", "sk-real-key".into())]).unwrap();
        leases.open(([127, 0, 0, 1], 1).into(), target)
    }

    #[test]
    fn each_lease_knows_its_own_token_only() {
        let leases = Arc::default();
        let (one, other) = (open(&leases), open(&leases));
        assert_ne!(one.base_url(), other.base_url());
        let token = one.token().expose_secret().as_bytes();
        assert!(leases.find(one.id).unwrap().has_token(token));
        assert!(!leases.find(other.id).unwrap().has_token(token));
    }

    #[test]
    fn a_turn_runs_until_its_last_pass_is_dropped() {
        let lease = open(&Arc::default());
        assert!(!lease.grant.turn_runs());
        let (one, other) = (lease.allow(), lease.allow());
        drop(one);
        assert!(lease.grant.turn_runs());
        drop(other);
        assert!(!lease.grant.turn_runs());
    }

    #[test]
    fn a_dropped_lease_is_forgotten_although_a_pass_is_left() {
        let leases = Arc::default();
        let lease = open(&leases);
        let (id, pass) = (lease.id, lease.allow());
        drop(lease);
        assert!(leases.find(id).is_none());
        assert!(pass.0.ended.is_cancelled());
    }

    #[test]
    fn a_printed_lease_shows_neither_token_nor_key() {
        let lease = open(&Arc::default());
        let shown = format!("{lease:?}");
        assert!(!shown.contains("wegent-") && !shown.contains("sk-real"));
    }
}
