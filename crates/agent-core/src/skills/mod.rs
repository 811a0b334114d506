//! Skills: folders with a `SKILL.md`, put where an agent finds them.
//!
//! [`deploy`] brings a folder of skills to what a turn names. What is there already, whole and unchanged, costs at most
//! one small request. A new version takes the old one's place in one step, when it is complete; whatever fails before
//! leaves the old one. The archives are not trusted, see `archive`.

mod archive;
mod busy;
#[doc(hidden)]
pub mod fuzzing;
mod manifest;
mod staging;
#[cfg(test)]
mod tests;

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use futures::{FutureExt, StreamExt, stream};

use self::{
    archive::{ArchiveError, unpack},
    manifest::{Entry, Manifest},
    staging::Staging,
};
use crate::{
    Skills, SkillsFolder,
    downloads::{
        Access, Body, ContentHash, DownloadError, Downloads, Fetched, SkillId, with_retries,
        without_urls,
    },
    error_chain,
};

/// Where a skill lies when nothing says otherwise.
const DEFAULT_NAMESPACE: &str = "default";
/// The longest name of a skill, in bytes.
const LONGEST_NAME: usize = 200;

/// How skills are fetched.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many at once.
    pub parallel: usize,
    /// The largest archive, in bytes.
    pub archive: u64,
    /// How long each request may take, further tries included.
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            parallel: 3,
            archive: 32 << 20,
            time: Duration::from_secs(60),
        }
    }
}

/// What became of the skills.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The ones that are there, in the order in which they were named.
    pub deployed: Vec<String>,
    /// The ones that are not.
    pub failed: Vec<Failure>,
    /// Whether anything in the folder is other than before: an agent that runs already has to be told.
    pub changed: bool,
}

/// A skill that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its name.
    pub name: String,
    /// Why not. Holds neither token nor URL.
    pub reason: String,
}

/// Skills are missing without which a turn must not run.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("required Skill deployment failed: {}", list(.0))]
pub struct RequiredMissing(pub Vec<Failure>);

fn list(failures: &[Failure]) -> String {
    let each = failures
        .iter()
        .map(|failure| format!("{} ({})", failure.name, failure.reason));
    each.collect::<Vec<_>>().join(", ")
}

impl Report {
    /// Whether everything is there that `skills` requires.
    ///
    /// # Errors
    /// [`RequiredMissing`] names what is not.
    pub fn check_required(&self, skills: &Skills) -> Result<(), RequiredMissing> {
        let missing: Vec<Failure> = self
            .failed
            .iter()
            .filter(|failure| skills.required.contains(&failure.name))
            .cloned()
            .collect();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(RequiredMissing(missing))
        }
    }
}

/// Brings a folder to the skills that a turn offers: fetches what is missing or outdated and, if the folder is the task's
/// alone, removes what an earlier turn had and this one has not. Skills that somebody else put there are left alone unless one is to have their name.
///
/// `access` is `None` when the request brings no token: then only what is there already can be used. Dropping the future
/// leaves whole skills only.
pub async fn deploy(
    skills: &Skills,
    place: &SkillsFolder,
    downloads: &dyn Downloads,
    access: Option<&Access>,
    limits: Limits,
) -> Report {
    let folder = place.path.as_path();
    let _alone = busy::alone(folder).await;
    let mut manifest = Manifest::read(folder);
    let mut report = Report {
        changed: place.exclusive && remove_others(skills, folder, &mut manifest),
        ..Report::default()
    };
    if !skills.offered.is_empty() {
        staging::remove_stale(folder);
    }
    let deployment = Deployment {
        skills,
        folder,
        downloads,
        access,
        limits,
    };
    let mut work = Vec::new();
    for name in &skills.offered {
        let before = manifest.0.get(name).cloned();
        work.push(deployment.one(name, before).boxed());
    }
    let results: Vec<_> = stream::iter(work)
        .buffered(limits.parallel.max(1))
        .collect()
        .await;
    for (name, result) in skills.offered.iter().cloned().zip(results) {
        match result {
            Ok(Deployed::Unchanged) => report.deployed.push(name),
            Ok(Deployed::Replaced(entry)) => {
                report.changed = true;
                manifest.0.insert(name.clone(), entry);
                report.deployed.push(name);
            }
            Err(error) => {
                let reason = without_urls(&error_chain(&error));
                tracing::warn!(skill = name, %reason, "skill is not deployed");
                report.failed.push(Failure { name, reason });
            }
        }
    }
    // Without it everything is fetched again next time.
    if report.changed
        && let Err(error) = manifest.write(folder)
    {
        tracing::warn!(folder = %folder.display(), %error, "list of skills can't be written");
    }
    report
}

/// Whether there were any.
fn remove_others(skills: &Skills, folder: &Path, manifest: &mut Manifest) -> bool {
    let before = manifest.0.len();
    manifest.0.retain(|name, _| {
        let offered = skills.offered.contains(name);
        if !offered && check_name(name).is_ok() {
            let _ = fs::remove_dir_all(folder.join(name));
        }
        offered
    });
    manifest.0.len() != before
}

/// Why a skill is not deployed.
#[derive(Debug, thiserror::Error)]
enum SkillError {
    #[error("a skill can't have this name")]
    Name,
    #[error("no skill of this name in the namespace `{0}`")]
    Unknown(String),
    #[error("lookup failed")]
    Lookup(#[source] DownloadError),
    #[error("download failed")]
    Download(#[source] DownloadError),
    #[error("its archive is refused")]
    Archive(#[source] ArchiveError),
    #[error("can't be put into its folder")]
    Place(#[source] io::Error),
    #[error("unpacking was interrupted")]
    Interrupted,
}

enum Deployed {
    Unchanged,
    Replaced(Entry),
}

struct Deployment<'a> {
    skills: &'a Skills,
    folder: &'a Path,
    downloads: &'a dyn Downloads,
    access: Option<&'a Access>,
    limits: Limits,
}

impl Deployment<'_> {
    async fn one(&self, name: &str, before: Option<Entry>) -> Result<Deployed, SkillError> {
        check_name(name)?;
        let target = self.folder.join(name);
        let skill = self.identify(name).await?;
        let before = before.filter(|entry| entry.holds(&skill, &target));
        let known = self.skills.known.get(name);
        let expected = known.and_then(|known| known.hash.as_ref());
        let have = before.as_ref().and_then(Entry::hash);
        if have.is_some() && have.as_ref() == expected {
            return Ok(Deployed::Unchanged);
        }
        match self.fetch(&skill, &target, have.as_ref()).await {
            // The version before is better than none.
            Err(error) if before.is_some() => {
                tracing::warn!(skill = name, error = %error_chain(&error), "skill is not updated");
                Ok(Deployed::Unchanged)
            }
            other => other,
        }
    }

    /// Which skill a name means: what the request says, else what the backend finds.
    async fn identify(&self, name: &str) -> Result<SkillId, SkillError> {
        let usual = self
            .skills
            .namespace
            .as_deref()
            .unwrap_or(DEFAULT_NAMESPACE);
        if let Some(known) = self.skills.known.get(name) {
            return Ok(SkillId {
                id: known.id.clone(),
                namespace: known.namespace.as_deref().unwrap_or(usual).to_owned(),
            });
        }
        let access = self
            .access
            .ok_or(SkillError::Lookup(DownloadError::NoToken))?;
        let find = || self.downloads.find_skill(access, name, usual);
        with_retries(self.limits.time, find)
            .await
            .map_err(SkillError::Lookup)?
            .ok_or_else(|| SkillError::Unknown(usual.to_owned()))
    }

    async fn fetch(
        &self,
        skill: &SkillId,
        target: &Path,
        have: Option<&ContentHash>,
    ) -> Result<Deployed, SkillError> {
        let access = self
            .access
            .ok_or(SkillError::Download(DownloadError::NoToken))?;
        let attempt = || async {
            match self.downloads.skill(access, skill, have).await? {
                Fetched::Unchanged if have.is_some() => Ok(None),
                Fetched::Unchanged => Err(DownloadError::Malformed(
                    "unchanged, though nothing is known yet".to_owned(),
                )),
                Fetched::Body(body) => self.receive(body).await.map(Some),
            }
        };
        let received = with_retries(self.limits.time, attempt)
            .await
            .map_err(SkillError::Download)?;
        let Some((staging, hash)) = received else {
            return Ok(Deployed::Unchanged);
        };
        let (skill, target) = (skill.clone(), target.to_owned());
        // Owns what it works on: it goes on when nobody waits for it any more, and cleans up.
        let install = move || install(&staging, &target, &skill, &hash);
        tokio::task::spawn_blocking(install)
            .await
            .map_err(|_| SkillError::Interrupted)?
            .map(Deployed::Replaced)
    }

    async fn receive(&self, body: Body) -> Result<(Staging, ContentHash), DownloadError> {
        let staging = Staging::new(self.folder).map_err(DownloadError::Disk)?;
        let archive = File::create_new(staging.archive()).map_err(DownloadError::Disk)?;
        let written = body.write_to(archive, self.limits.archive).await?;
        Ok((staging, written.hash))
    }
}

fn install(
    staging: &Staging,
    target: &Path,
    skill: &SkillId,
    hash: &ContentHash,
) -> Result<Entry, SkillError> {
    let archive = File::open(staging.archive()).map_err(SkillError::Place)?;
    let files: Vec<PathBuf> = unpack(archive, &staging.skill(), archive::Limits::default())
        .map_err(SkillError::Archive)?;
    staging.take_place(target).map_err(SkillError::Place)?;
    Ok(Entry::new(skill, hash, files))
}

/// A skill's name is its folder's: one plain part of a path, not hidden.
fn check_name(name: &str) -> Result<(), SkillError> {
    let plain = !name.is_empty()
        && name.len() <= LONGEST_NAME
        && !name.starts_with('.')
        && !name.contains(|letter: char| matches!(letter, '/' | '\\') || letter.is_control());
    if plain { Ok(()) } else { Err(SkillError::Name) }
}
