//! From the path of the file to [`Settings`], or to all that is wrong with it.

use std::{
    collections::BTreeSet, fmt, fs::OpenOptions, io::Read, os::unix::fs::OpenOptionsExt as _, path::Path, sync::Arc,
};

use super::{
    Settings,
    diagnostic::{Diagnostics, Report, Severity},
    settings::Host,
    source::{Source, Span},
    top, yaml,
};

/// A thousand services fit; more is not a configuration.
const LARGEST: u64 = 1024 * 1024;

/// A file that can be used.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// What it says.
    pub(crate) settings: Settings,
    /// What it probably does not mean to say; often nothing.
    pub(crate) warnings: Diagnostics,
    /// The text of it.
    pub(crate) text: Arc<str>,
}

/// A file that cannot be used, with all that is wrong with it.
#[derive(Debug)]
pub(crate) struct ConfigError {
    file: String,
    found: Diagnostics,
}

impl ConfigError {
    /// How many mistakes there are.
    pub(crate) const fn count(&self) -> usize {
        self.found.errors()
    }

    /// Each mistake with its line and its remedy, then how many there are; `colour` is for a terminal.
    pub(crate) fn render(&self, colour: bool) -> String {
        let (count, file) = (self.count(), &self.file);
        format!("{}{count} mistake{} in {file}", self.found.render(colour), if count == 1 { "" } else { "s" })
    }

    /// Mistakes and warnings, each on one line with its place: for a log.
    pub(crate) fn graded(&self) -> impl Iterator<Item = (Severity, String)> {
        self.found.graded()
    }

    /// The files that it names and that cannot be used, where nothing else is wrong with it.
    pub(crate) const fn at_fault(&self) -> &BTreeSet<String> {
        self.found.at_fault()
    }

    /// Each as its place, what is wrong and what to do.
    pub(crate) fn parts(&self) -> impl Iterator<Item = [String; 3]> {
        self.found.parts()
    }

    /// The first mistake on one line, and how many follow: where there is no room for more.
    pub(crate) fn summary(&self) -> String {
        let mut mistakes = self.graded().filter(|(severity, _)| *severity == Severity::Error);
        let first = mistakes.next().map(|(_, line)| line).unwrap_or_default();
        match self.count() {
            0 | 1 => first,
            count => format!("{first} (and {} more)", count - 1),
        }
    }

    #[cfg(test)]
    pub(super) const fn found(&self) -> &Diagnostics {
        &self.found
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for ConfigError {}

/// Reads the file, with the defaults of this machine; `only_checks` when nothing is to be started with it.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub(crate) fn load(path: &Path, only_checks: bool) -> Result<Loaded, ConfigError> {
    let name = path.display().to_string();
    let bytes = read_file(path).map_err(|(message, hint)| ConfigError {
        file: name.clone(),
        found: Diagnostics::of_file(name.clone(), message, hint),
    })?;
    parse_bytes(&name, &bytes, &Host::here(only_checks))
}

fn read_file(path: &Path) -> Result<Vec<u8>, (String, &'static str)> {
    let failed = |error: std::io::Error| {
        (
            format!("cannot read the configuration: {error}"),
            "name another with `--config FILE`, or let the agent read it",
        )
    };
    let irregular = || ("the configuration is not a regular file".to_owned(), "name another with `--config FILE`");
    // Opening anything else could wait for ever, or do something. What it is may change before it is open: hence the second look.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(irregular());
    }
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(irregular());
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// As [`load`], of a file that has been read.
pub(crate) fn load_bytes(path: &Path, bytes: &[u8]) -> Result<Loaded, ConfigError> {
    parse_bytes(&path.display().to_string(), bytes, &Host::here(false))
}

/// As [`load`], from bytes: `name` is what the reports call the file.
pub(super) fn parse_bytes(name: &str, bytes: &[u8], host: &Host) -> Result<Loaded, ConfigError> {
    let file = || name.to_owned();
    if bytes.len() as u64 > LARGEST {
        let found =
            Diagnostics::of_file(file(), "the configuration is larger than 1 MiB".to_owned(), "make it smaller");
        return Err(ConfigError { file: file(), found });
    }
    // Editors of other systems put a mark before the first character.
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => parse(name, text, host),
        Err(error) => {
            let source = Source::new(name, String::from_utf8_lossy(bytes).into_owned());
            let mut report = Report::new(&source);
            let at = error.valid_up_to();
            report.error(Span::new(at, at + 1), "not UTF-8", "save the file as UTF-8");
            Err(ConfigError { file: file(), found: report.finish() })
        }
    }
}

/// As [`load`], from a text.
pub(super) fn parse(name: &str, text: &str, host: &Host) -> Result<Loaded, ConfigError> {
    let source = Source::new(name, text.to_owned());
    let mut report = Report::new(&source);
    report.set_only_checks(host.only_checks);
    let root = yaml::parse(&source, &mut report);
    let settings = root.and_then(|root| top::read(&root, host, &mut report));
    let found = report.finish();
    match settings {
        Some(settings) if found.errors() == 0 => Ok(Loaded { settings, warnings: found, text: text.into() }),
        Some(_) | None => Err(ConfigError { file: name.to_owned(), found }),
    }
}
