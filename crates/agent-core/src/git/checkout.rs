//! From what a request says of a repository to a folder to work in.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

use redact::Secrets;
use secrecy::SecretString;

use super::{
    Branch, GitError, GitSettings, Remote,
    access::{self, Access},
    clone::Clone,
    config::GitConfig,
    hooks, identity,
    keeper::Keeper,
    lfs, login,
    program::Programs,
};
use crate::{GitSource, GitUser, TaskId};

/// Git for all tasks of an executor.
#[derive(Debug)]
pub struct Git {
    settings: GitSettings,
    programs: Programs,
    keeper: Keeper,
}

/// A folder to work in, and what tools need to work with it.
#[derive(Debug, Default)]
pub struct Checkout {
    /// The checkout; `None` if the request names no repository.
    pub folder: Option<PathBuf>,
    /// Environment variables for tools. They hold no secrets.
    pub variables: Vec<(OsString, OsString)>,
    /// What the person should know.
    pub warnings: Vec<String>,
}

/// What is where the checkout should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// Nothing, or an empty folder.
    Nothing,
    /// A repository, or what takes the place of one.
    Checkout,
}

impl Git {
    /// Git by these settings.
    pub fn new(settings: GitSettings) -> Self {
        let programs = Programs {
            image: settings.image.clone(),
            owner: settings.owner.clone(),
        };
        Self {
            settings,
            programs,
            keeper: Keeper::default(),
        }
    }

    /// The user's token as servers know it, for what else is to be told it; `None` if there is none, or it can't be
    /// decrypted. `secrets` knows it first.
    pub fn token(&self, user: &GitUser, secrets: &Secrets) -> Option<SecretString> {
        let token = access::in_clear(&self.settings, access::given(user)?, secrets);
        token
            .inspect_err(|error| tracing::warn!(%error, "a git token stays as it came"))
            .ok()
    }

    /// Makes the repository of `source` a folder in `parent`, and gives tools what they need for it; without a source,
    /// what they need for the user's git server. `say` hears how far it is. Every secret is added to `secrets` first.
    ///
    /// A checkout that is there already is left as it is, but for the author's name in its configuration. Dropped at any
    /// time, this leaves either no folder or a whole checkout.
    ///
    /// # Errors
    /// [`GitError`] if there is no checkout.
    pub async fn check_out(
        &self,
        task: TaskId,
        source: Option<&GitSource>,
        user: &GitUser,
        parent: &Path,
        secrets: &Secrets,
        say: impl Fn(String),
    ) -> Result<Checkout, GitError> {
        let remote: Option<Remote> = source.map(|source| source.url.parse()).transpose()?;
        let branch: Option<Branch> = source
            .and_then(|source| source.branch.as_deref())
            .map(str::parse)
            .transpose()?;
        let access = Access::find(&self.settings, source, remote.as_ref(), user, secrets)?;
        let own = self
            .keeper
            .folder(task, &self.settings.image, &self.settings.owner)?;
        let socket = self.keeper.keep(task, &own, access.credentials())?;
        let config = self.config(&access, &socket);
        let mut checkout = Checkout::default();
        let cloning = async {
            let (Some(source), Some(remote)) = (source, &remote) else {
                return Ok(None);
            };
            let folder = match &source.folder {
                Some(folder) => folder.clone(),
                None => parent.join(remote.folder_name()?),
            };
            let clone = Clone {
                settings: &self.settings,
                programs: &self.programs,
                remote,
                branch: branch.as_ref(),
                folder: &folder,
                config: config.clone(),
                offered: access.credential.is_some(),
            };
            Ok(Some((
                self.provide(source, clone, user, say).await?,
                folder,
            )))
        };
        let (login, provided) = tokio::join!(self.log_in(&own, &access, user), cloning);
        if let Some((warning, folder)) = provided? {
            checkout.warnings.extend(warning);
            checkout.folder = Some(folder);
        }
        checkout.warnings.extend(access.warning);
        checkout.variables = self.variables(&own, checkout.folder.as_deref(), config)?;
        checkout.variables.extend(login);
        if let (Some(source), Some(remote)) = (source, &remote) {
            checkout
                .variables
                .extend(facts(source, remote, branch.as_ref(), access.domain));
        }
        Ok(checkout)
    }

    /// Sees to it that there is a checkout. Gives a warning for the person, if there is one.
    async fn provide(
        &self,
        source: &GitSource,
        clone: Clone<'_>,
        user: &GitUser,
        say: impl Fn(String),
    ) -> Result<Option<String>, GitError> {
        let folder = clone.folder;
        let found = look(folder, source, clone.remote)?;
        let mut warning = None;
        if found == Found::Nothing {
            if source.restored {
                warning = Some(
                    "The archive of this task held no checkout: the repository was cloned anew."
                        .to_owned(),
                );
            }
            clone.run(say).await?;
            if lfs::is_missing(&self.programs, folder) {
                warning = Some(lfs::MISSING.to_owned());
            }
        }
        match configure(folder, user, found == Found::Nothing) {
            Err(error) if found == Found::Nothing || folder.join(".git").exists() => {
                tracing::warn!(folder = %folder.display(), %error, "the checkout could not be configured");
                warning = warning.or_else(|| {
                    Some("The author's name could not be set in the checkout.".to_owned())
                });
            }
            // Perforce and the like.
            _ => {}
        }
        Ok(warning)
    }

    /// What git is told wherever it runs for this task.
    fn config(&self, access: &Access, socket: &Path) -> GitConfig {
        let mut config = GitConfig::of_image(&self.settings.image);
        for credential in access.credentials() {
            config.ask_at(credential.origin(), &self.settings.helper, socket);
        }
        if let Some((origin, proxy)) = &access.proxy {
            config.set(format!("http.{origin}.proxy"), proxy);
        }
        config
    }

    async fn log_in(
        &self,
        own: &Path,
        access: &Access,
        user: &GitUser,
    ) -> Option<(OsString, OsString)> {
        let (domain, credential) = (access.domain.as_deref()?, access.credential.as_ref()?);
        login::log_in(
            &self.programs,
            own,
            domain,
            user.login.as_deref(),
            credential.password(),
        )
        .await
    }

    fn variables(
        &self,
        own: &Path,
        folder: Option<&Path>,
        mut config: GitConfig,
    ) -> Result<Vec<(OsString, OsString)>, GitError> {
        let of_repository: Vec<PathBuf> = folder
            .into_iter()
            .flat_map(|folder| [folder.join(".git/hooks"), folder.join(".githooks")])
            .collect();
        let hooks = hooks::install(own, &self.settings.protected_branches, &of_repository)?;
        config.set("core.hooksPath", hooks);
        let mut variables = config.variables();
        variables.extend(super::quiet(&self.programs));
        Ok(variables)
    }
}

/// What is at `folder`. A folder that the request itself names may hold anything.
fn look(folder: &Path, source: &GitSource, remote: &Remote) -> Result<Found, GitError> {
    let occupied = |what| GitError::Occupied {
        path: folder.to_owned(),
        what,
        repository: remote.to_string(),
    };
    match fs::metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(GitError::io(folder)(error)),
        Ok(metadata) if !metadata.is_dir() => return Err(occupied("a file")),
        Ok(_) => {}
    }
    let empty = fs::read_dir(folder)
        .map_err(GitError::io(folder))?
        .next()
        .is_none();
    match (folder.join(".git").exists(), empty) {
        (true, _) => Ok(Found::Checkout),
        (false, true) => Ok(Found::Nothing),
        (false, false) if source.folder.is_some() || source.restored => Ok(Found::Checkout),
        (false, false) => Err(occupied("a folder with files in it and no git repository")),
    }
}

/// The author's name; in a new clone also the hooks that the repository brings.
fn configure(folder: &Path, user: &GitUser, new: bool) -> Result<(), git2::Error> {
    let repository = git2::Repository::open(folder)?;
    let mut config = repository.config()?.open_level(git2::ConfigLevel::Local)?;
    if let Some((name, email)) = identity::author(user) {
        config.set_str("user.name", &name)?;
        config.set_str("user.email", &email)?;
    }
    if new && folder.join(".githooks").is_dir() {
        config.set_str("core.hooksPath", ".githooks")?;
    }
    Ok(())
}

/// What the platform promises tools to know.
fn facts(
    source: &GitSource,
    remote: &Remote,
    branch: Option<&Branch>,
    domain: Option<String>,
) -> impl Iterator<Item = (OsString, OsString)> {
    [
        ("GIT_DOMAIN", domain),
        ("GIT_REPO", source.repository.clone()),
        ("GIT_REPO_ID", source.repository_id.clone()),
        ("BRANCH_NAME", branch.map(Branch::to_string)),
        ("GIT_URL", Some(remote.to_string())),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.into(), value?.into())))
}
