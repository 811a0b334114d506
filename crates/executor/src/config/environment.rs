//! The environment as it was found: the one place of the program that reads it.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fmt, io,
};

use super::veil;

/// All variables of an environment. Printing it shows their names only, as values may be secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ImageEnvironment(BTreeMap<OsString, OsString>);

impl ImageEnvironment {
    /// The environment of this process. If there are secrets in it, the process starts itself once more without them
    /// and then has them here only: see `veil`. To be called before there is any thread.
    ///
    /// # Errors
    /// If what the process was to get from itself can't be read.
    pub fn of_process() -> io::Result<Self> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that reads the environment"
        )]
        let mut variables: BTreeMap<OsString, OsString> = std::env::vars_os().collect();
        if !veil::take_over(&mut variables)? {
            let arguments: Vec<OsString> = std::env::args_os().collect();
            if let Err(error) = veil::start_again_without_secrets(&variables, &arguments) {
                // There is no log yet.
                eprintln!("wegent-executor: secrets stay in the environment: {error}");
            }
        }
        Ok(Self(variables))
    }

    /// The value of a variable, as it was found.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// All variables by name.
    pub fn as_map(&self) -> &BTreeMap<OsString, OsString> {
        &self.0
    }
}

impl<K: Into<OsString>, V: Into<OsString>> FromIterator<(K, V)> for ImageEnvironment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        let pairs = variables.into_iter();
        Self(pairs.map(|(k, v)| (k.into(), v.into())).collect())
    }
}

impl fmt::Debug for ImageEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
