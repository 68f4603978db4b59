//! Whether a program can go on with what another has: it is asked before anything is changed.
//!
//! The document goes to its standard input, and what it would do to its standard output. It touches nothing: no socket, no address,
//! no file but those that the configuration names, which it reads.

use std::{
    collections::BTreeMap,
    io::{self, Read as _},
    path::Path,
    time::Instant,
};

use anycast_bgp::Session;
use serde::{Deserialize, Serialize};

use super::{Bad, Document, Neighbor, exec::LARGEST};
use crate::{config, peer};

/// The option by which a program is asked.
pub(crate) const TRIAL: &str = "--handover-trial";

/// What it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Verdict {
    /// Its version.
    pub(crate) version: String,
    /// The sessions that it would begin anew, and why.
    pub(crate) lost: BTreeMap<String, String>,
}

/// Why it cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unable {
    #[error(transparent)]
    Document(#[from] Bad),
    #[error("{head}\n{error}", head = headed(.error))]
    Configuration { error: config::ConfigError },
}

/// What is wrong with a configuration that another program has in force.
fn headed(error: &config::ConfigError) -> String {
    let files: Vec<&str> = error.at_fault().iter().map(String::as_str).collect();
    if files.is_empty() {
        return "the configuration in force is not one for this version".to_owned();
    }
    format!("the configuration in force cannot be read any more, for a file that it names: {}", files.join(", "))
}

/// Answers for this program.
///
/// # Errors
/// [`Unable`]: it cannot go on at all.
pub(crate) fn answer(file: &Path) -> Result<Verdict, Unable> {
    let mut bytes = Vec::new();
    io::stdin().lock().take(LARGEST).read_to_end(&mut bytes).map_err(Bad::from)?;
    judge(file, &bytes)
}

fn judge(file: &Path, bytes: &[u8]) -> Result<Verdict, Unable> {
    let document = Document::read(bytes)?;
    let loaded = config::load_bytes(file, &document.configuration).map_err(|error| Unable::Configuration { error })?;
    let core = &loaded.settings.core;
    let try_on = |neighbor: &Neighbor| -> Result<(), String> {
        let (of, id) = neighbor.ids().ok_or("it is not configured")?;
        let configured = core.neighbors.get(&of).ok_or("it is not configured")?;
        let configured = neighbor.router.map_or_else(|| configured.clone(), |router| configured.at(router));
        let config = peer::session_config(core, &configured, peer::seed(&id));
        Session::take_over(config, &neighbor.session, Instant::now()).map(drop).map_err(|unfit| unfit.to_string())
    };
    let lost = document.neighbors.iter();
    let lost = lost.filter_map(|(id, neighbor)| Some((id.clone(), try_on(neighbor).err()?))).collect();
    Ok(Verdict { version: env!("CARGO_PKG_VERSION").to_owned(), lost })
}

#[cfg(test)]
mod tests {
    use anycast_api::Timestamp;

    use super::*;

    fn judged(configuration: &str) -> Result<Verdict, Unable> {
        let document = Document::new(configuration.as_bytes().to_vec(), Timestamp::now(), std::time::Duration::ZERO);
        judge(Path::new("anycastd.yaml"), &document.write().unwrap())
    }

    #[test]
    fn a_configuration_is_judged_as_it_would_be_taken() {
        let verdict = judged("bgp: { asn: 65010, router_id: 192.0.2.2, neighbors: [] }\nservices: []\n").unwrap();
        assert_eq!(verdict, Verdict { version: env!("CARGO_PKG_VERSION").to_owned(), lost: BTreeMap::new() });
        let error = judged("bgp: { asn: 65010, router_id: 192.0.2.2 }\nservises: []\n").unwrap_err().to_string();
        assert!(error.contains("not one for this version") && error.contains("servises"), "{error}");
    }

    /// The version has no part in it.
    #[test]
    fn a_file_that_is_gone_since_is_named_as_that() {
        let home = tempfile::tempdir().unwrap();
        let password = home.path().join("leaf1.password");
        let neighbors =
            format!("[{{ name: leaf1, address: 192.0.2.1, asn: 65001, password_file: {} }}]", password.display());
        let text = |more: &str| {
            format!("bgp: {{ asn: 65010, router_id: 192.0.2.2, neighbors: {neighbors} }}\nservices: []\n{more}")
        };
        let gone = judged(&text("")).unwrap_err().to_string();
        let head = gone.lines().next().unwrap();
        assert!(head.contains("cannot be read any more") && head.ends_with("leaf1.password"), "{gone}");
        assert!(gone.contains("No such file"), "{gone}");
        let both = judged(&text("servises: []\n")).unwrap_err().to_string();
        assert!(both.contains("not one for this version") && both.contains("No such file"), "{both}");
    }

    #[test]
    fn what_is_no_document_is_refused() {
        let error = judge(Path::new("f"), b"{\"version\": 9}").unwrap_err().to_string();
        assert!(error.contains("format 9"), "{error}");
    }
}
