//! `cargo lab`: the lab on this machine. Wiring only: [`anycast_lab::verbs`] does one verb each.

use std::{process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::Parser as _;

use anycast_lab::{
    cli::{Cli, Verb},
    exit::{self, Exit},
    runner::namespaces::init,
    tools, verbs,
};

/// For what is being cleaned up when the work is done or interrupted.
const LAST_WORDS: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing is left to tell anybody when even this cannot be printed.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Done.into() };
        }
    };
    if let Verb::Init = cli.verb {
        // Alone, without a runtime: it is about to change what a process with threads cannot.
        return init::run();
    }
    run(cli).unwrap_or_else(|error| exit::report(&error)).into()
}

/// Does what was asked.
fn run(cli: Cli) -> anyhow::Result<Exit> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")?;
    let done = runtime.block_on(async {
        match cli.verb {
            Verb::Tool { tool } => tools::run(tool).await.map(|()| Exit::Done),
            verb => verbs::run(cli.globals, verb).await,
        }
    });
    // A thread that still waits for something does not keep us.
    runtime.shutdown_timeout(LAST_WORDS);
    done
}
