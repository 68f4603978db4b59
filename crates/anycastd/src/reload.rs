//! A new configuration, on request: read aside, weighed and taken over in one step of the decision loop.
//!
//! One at a time. Each reads the file anew, and applies what it has read or nothing: whoever looked at a dry run before is told
//! what was done, which is what the file said then.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anycast_api::{ReloadReply, ReloadVerdict};
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    task::JoinHandle,
    time::timeout,
};

use crate::{
    agent::{Agent, Handle, NoAnswer, Weighed},
    config::{self, ConfigError, Loaded, Severity},
    disable,
};

/// After this long a file that is still being read is a problem to be told.
const SLOW: Duration = Duration::from_secs(5);
/// How long new addresses may take to be bound before a route that needs them is withdrawn until they are.
const BOUND_WITHIN: Duration = Duration::from_secs(1);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// What is wished for.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    /// Nothing is to be done.
    pub(crate) dry_run: bool,
    /// Everything may be withdrawn by it.
    pub(crate) yes: bool,
    /// Who wishes it.
    pub(crate) by: String,
}

/// Reads the configuration anew.
#[derive(Clone)]
pub(crate) struct Reloader {
    agent: Handle,
    file: PathBuf,
    turn: Arc<Mutex<()>>,
}

type Read = Result<Loaded, ConfigError>;
type Turn = OwnedMutexGuard<()>;

impl Reloader {
    pub(crate) fn new(agent: Handle, file: PathBuf) -> Self {
        Self { agent, file, turn: Arc::default() }
    }

    /// Which file it is.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// Keeps every reload waiting, once none is under way.
    pub(crate) async fn hold(&self) -> OwnedMutexGuard<()> {
        self.turn.clone().lock_owned().await
    }

    /// For whoever waits for an answer: a file that hangs is refused, and what is read of it in the end is dropped.
    pub(crate) async fn now(&self, wish: Wish) -> Result<ReloadReply, NoAnswer> {
        let Ok(turn) = timeout(SLOW, self.turn.clone().lock_owned()).await else {
            let hint = "it waits for its file, or for the addresses: try again";
            return Ok(self.refused("another reload is under way", Some(hint)));
        };
        let mut reading = self.read();
        match timeout(SLOW, &mut reading).await {
            Ok(read) => self.weigh(&turn, read, wish).await,
            Err(_) => {
                // The thread hangs on: nobody adds to it.
                tokio::spawn(async move {
                    let _ = reading.await;
                    drop(turn);
                });
                let why = format!("{} has not been read for {} s", self.file.display(), SLOW.as_secs());
                Ok(self.refused(&why, Some("see why its disk does not answer")))
            }
        }
    }

    /// For a signal: nobody waits, so it takes the time that it takes, and the status says where that is long.
    pub(crate) async fn in_time(&self, wish: Wish) {
        let turn = self.turn.clone().lock_owned().await;
        let mut reading = self.read();
        let read = match timeout(SLOW, &mut reading).await {
            Ok(read) => read,
            Err(_) => {
                let slow = format!(
                    "{} has not been read for {} s; the old configuration stands",
                    self.file.display(),
                    SLOW.as_secs()
                );
                tracing::warn!("{slow}");
                let _ = self.agent.order(|agent| agent.problem("reload", Some(slow))).await;
                reading.await
            }
        };
        if let Err(error) = self.weigh(&turn, read, wish).await {
            tracing::error!(%error, "reload");
        }
    }

    fn read(&self) -> JoinHandle<Read> {
        let file = self.file.clone();
        tokio::task::spawn_blocking(move || config::load(&file, false))
    }

    async fn weigh(
        &self,
        _turn: &Turn,
        read: Result<Read, tokio::task::JoinError>,
        wish: Wish,
    ) -> Result<ReloadReply, NoAnswer> {
        match read {
            Ok(Ok(loaded)) => self.apply(loaded, wish).await,
            Ok(Err(error)) => {
                if !wish.dry_run {
                    error.graded().for_each(|(severity, line)| match severity {
                        Severity::Error => tracing::error!("{line}"),
                        Severity::Warning => tracing::warn!("{line}"),
                    });
                    tracing::error!("reload by {} refused, the old configuration stands", wish.by);
                    let why = error.summary();
                    self.agent.order(|agent| agent.reload_failed(why)).await?;
                }
                let count = error.count();
                let why = format!("{count} mistake{} in the file", if count == 1 { "" } else { "s" });
                Ok(ReloadReply { mistakes: Some(error.render(false)), ..self.refused(&why, None) })
            }
            Err(error) => {
                let why = error.to_string();
                if !wish.dry_run {
                    let why = why.clone();
                    self.agent.order(|agent| agent.reload_failed(why)).await?;
                }
                Ok(self.refused(&why, None))
            }
        }
    }

    async fn apply(&self, loaded: Loaded, wish: Wish) -> Result<ReloadReply, NoAnswer> {
        let Loaded { settings, warnings, text } = loaded;
        let warnings: Vec<String> = warnings.lines().collect();
        let Wish { dry_run, yes, by } = wish;
        let settings = Arc::new(settings);
        // What is withdrawn by a file that is there is weighed, and not announced for a moment.
        let files = {
            let settings = Arc::clone(&settings);
            self.agent.order(move |agent| agent.new_disable_files(&settings)).await?
        };
        let looks = Arc::new(disable::look(&files).await);
        let weighed = {
            let (settings, looks) = (Arc::clone(&settings), Arc::clone(&looks));
            self.agent.order(move |agent| agent.weigh(&settings, &looks)).await?
        };
        let refuses = weighed.stopping || (weighed.loses_all.is_some() && !yes);
        let weighed = if dry_run {
            weighed
        } else {
            warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
            if !refuses {
                self.prepare(&weighed).await?;
            }
            let taken = move |agent: &mut Agent| agent.reload(Arc::unwrap_or_clone(settings), &looks, text, yes, &by);
            self.agent.order(taken).await?
        };
        Ok(ReloadReply { warnings, ..self.reply(weighed, dry_run, yes) })
    }

    /// A service that is announced and gets another address is not withdrawn until that is bound: it is bound beforehand.
    async fn prepare(&self, weighed: &Weighed) -> Result<(), NoAnswer> {
        if weighed.wanting.is_empty() {
            return Ok(());
        }
        let addresses = weighed.wanting.clone();
        self.agent.order(move |agent| agent.prepare(addresses)).await?;
        let bound = async {
            while !self.agent.order(|agent| agent.is_prepared()).await? {
                tokio::time::sleep(LOOK).await;
            }
            Ok(())
        };
        timeout(BOUND_WITHIN, bound).await.unwrap_or(Ok(()))
    }

    fn reply(&self, weighed: Weighed, dry_run: bool, yes: bool) -> ReloadReply {
        let Weighed { changes, loses_all, stopping, .. } = weighed;
        if stopping {
            return self.refused("the agent is stopping", None);
        }
        if let Some(why) = loses_all.filter(|_| !yes) {
            let hint = "if that is meant: `anycastctl reload --yes`; for a maintenance, `anycastctl withdraw`";
            return ReloadReply { changes, ..self.refused(&why, Some(hint)) };
        }
        let verdict = match (changes.is_empty(), dry_run) {
            (true, _) => ReloadVerdict::Unchanged,
            (false, true) => ReloadVerdict::WouldBeDone,
            (false, false) => ReloadVerdict::Done,
        };
        ReloadReply { verdict, refused: None, hint: None, changes, ..self.refused("", None) }
    }

    fn refused(&self, why: &str, hint: Option<&str>) -> ReloadReply {
        ReloadReply {
            file: self.file.display().to_string(),
            verdict: ReloadVerdict::Refused,
            refused: Some(why.to_owned()),
            hint: hint.map(str::to_owned),
            mistakes: None,
            warnings: Vec::new(),
            changes: Vec::new(),
        }
    }
}
