//! The files that a person attached: fetched beside the workspace, and told of in the prompt.
//!
//! [`fetch`] brings them to `<task's folder>/<task>:executor:attachments/<message>/<name>`, which is where Wegent
//! expects them; [`into_prompt`] says in the prompt where they are. Nothing of this fails a turn: a file that can't be
//! had is reported in the prompt, with the reason.
//!
//! Everything is reached from the task's folder (see [`crate::confine`]): a tool of an earlier turn may have put links
//! anywhere below it.

mod image;
mod name;
mod preview;
mod prompt;
#[cfg(test)]
mod tests;

use std::{
    collections::HashSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use futures::{FutureExt, StreamExt, stream};

pub use self::prompt::into_prompt;
use crate::{
    Attachment, AttachmentState, TaskId,
    confine::{Confined, plain_relative},
    downloads::{Access, DownloadError, Downloads, Partial, with_retries},
    error_chain,
};

/// How attachments are fetched.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many at once.
    pub parallel: usize,
    /// The largest one, in bytes.
    pub size: u64,
    /// How long one may take, further tries included.
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            parallel: 8,
            size: 1 << 30,
            time: Duration::from_secs(300),
        }
    }
}

/// What became of an attachment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The attachment, as it was asked for.
    pub attachment: Attachment,
    /// Where it is, or why it is nowhere.
    pub result: Result<Local, String>,
}

/// A file that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    /// Where. Absolute.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// The task's folder, which it lies below.
    task_folder: PathBuf,
}

impl Local {
    /// Opens it, if it still is a file below the task's folder.
    fn open(&self) -> io::Result<File> {
        let inside = self.path.strip_prefix(&self.task_folder);
        Confined::open(&self.task_folder)?.file(inside.map_err(io::Error::other)?)
    }
}

/// Fetches what is not there yet, in the order and number of `attachments`. `access` is `None` when the request brings
/// no token: then only what is there already can be used.
///
/// Dropping the future leaves no half-written file.
pub async fn fetch(
    attachments: &[Attachment],
    task: TaskId,
    folder: &Path,
    downloads: &dyn Downloads,
    access: Option<&Access>,
    limits: Limits,
) -> Vec<Delivery> {
    let place = Place { folder, task };
    let plans = place.plan(attachments);
    let mut work = Vec::new();
    for (attachment, plan) in attachments.iter().zip(plans) {
        work.push(deliver(attachment, plan, place, downloads, access, limits).boxed());
    }
    stream::iter(work)
        .buffered(limits.parallel.max(1))
        .collect()
        .await
}

async fn deliver(
    attachment: &Attachment,
    plan: Plan,
    place: Place<'_>,
    downloads: &dyn Downloads,
    access: Option<&Access>,
    limits: Limits,
) -> Delivery {
    let result = match plan {
        Plan::Done(result) => result,
        Plan::Fetch(path) => one(attachment.id, path, place, downloads, access, limits)
            .await
            .map_err(|error| error_chain(&error)),
    };
    if let Err(reason) = &result {
        tracing::warn!(attachment = attachment.id, %reason, "attachment is not available");
    }
    Delivery {
        attachment: attachment.clone(),
        result,
    }
}

async fn one(
    id: i64,
    path: PathBuf,
    place: Place<'_>,
    downloads: &dyn Downloads,
    access: Option<&Access>,
    limits: Limits,
) -> Result<Local, DownloadError> {
    let access = access.ok_or(DownloadError::NoToken)?;
    let name = path.file_name().expect("a file has a name");
    let folder = place.parent_of(&path).map_err(DownloadError::Disk)?;
    let attempt = || async {
        let body = downloads.attachment(access, id).await?;
        let (partial, file) = Partial::create(&folder).map_err(DownloadError::Disk)?;
        let written = body.write_to(file, limits.size).await?;
        // Nobody ever sees half a file under its name.
        partial.finish(name.as_ref()).map_err(DownloadError::Disk)?;
        Ok(written.bytes)
    };
    let size = with_retries(limits.time, attempt).await?;
    Ok(place.local(path.clone(), size))
}

enum Plan {
    Done(Result<Local, String>),
    Fetch(PathBuf),
}

/// A task's folder.
#[derive(Clone, Copy)]
struct Place<'a> {
    folder: &'a Path,
    task: TaskId,
}

impl Place<'_> {
    /// What is to be done for each, with a path of its own for each that is fetched.
    fn plan(self, attachments: &[Attachment]) -> Vec<Plan> {
        let mut taken: HashSet<PathBuf> = HashSet::new();
        let mut plans: Vec<Option<Plan>> = attachments
            .iter()
            .map(|attachment| {
                let done = self.already(attachment)?;
                taken.extend(done.as_ref().ok().map(|local| local.path.clone()));
                Some(Plan::Done(done))
            })
            .collect();
        for (attachment, plan) in attachments.iter().zip(&mut plans) {
            plan.get_or_insert_with(|| Plan::Fetch(self.free_path(attachment, &mut taken)));
        }
        plans.into_iter().flatten().collect()
    }

    /// What is known already; `None` if it has to be fetched.
    fn already(self, attachment: &Attachment) -> Option<Result<Local, String>> {
        match &attachment.state {
            AttachmentState::Wanted => None,
            AttachmentState::Failed(reason) => Some(Err(reason.clone())),
            AttachmentState::Local(path) => match self.confined(path) {
                Ok(local) => Some(Ok(local)),
                // A new container: what the old one had fetched is gone.
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => Some(Err(error_chain(&error))),
            },
        }
    }

    /// A file at a path that the request names: only within the task's folder.
    fn confined(self, path: &Path) -> io::Result<Local> {
        let outside = || io::Error::other("local_path is outside the task's folder");
        let inside = path.strip_prefix(self.folder).map_err(|_| outside())?;
        let inside = plain_relative(inside).map_err(|_| outside())?;
        let file = match Confined::open(self.folder)?.file(&inside) {
            // What the system says of a link that leads out.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(outside()),
            file => file?,
        };
        Ok(self.local(self.folder.join(inside), file.metadata()?.len()))
    }

    fn local(self, path: PathBuf, size: u64) -> Local {
        Local {
            path,
            size,
            task_folder: self.folder.to_owned(),
        }
    }

    fn free_path(self, attachment: &Attachment, taken: &mut HashSet<PathBuf>) -> PathBuf {
        let folder = self
            .folder
            .join(format!("{}:executor:attachments", self.task))
            .join(attachment.subtask.to_string());
        let name = name::file_name(&attachment.filename);
        let path = name::candidates(&name)
            .map(|name| folder.join(name))
            .find(|path| !taken.contains(path))
            .expect("there are more numbers than names");
        taken.insert(path.clone());
        path
    }

    /// The folder of a file below the task's, made if it isn't there.
    fn parent_of(self, path: &Path) -> io::Result<Confined> {
        fs::create_dir_all(self.folder)?;
        let inside = path.strip_prefix(self.folder);
        let inside = inside.expect("it is below the task's folder");
        let parent = inside.parent().expect("a file lies in a folder");
        Confined::open(self.folder)?.folder(parent, 0o777)
    }
}
