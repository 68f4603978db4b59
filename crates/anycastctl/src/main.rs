//! `anycastctl`: the control client of `anycastd`.
//!
//! Wiring only: [`cli`] says what can be asked, [`client`] carries it over the control socket, [`verbs`] does one verb
//! each, [`render`] turns answers into text without doing any I/O, and [`exit`] says how it ended.

mod cli;
mod client;
mod exit;
mod json;
mod manual;
mod mrt;
mod output;
mod render;
mod verbs;

use std::process::ExitCode;

use anyhow::Context as _;

use crate::{
    cli::{Cli, Verb},
    client::Client,
    exit::Exit,
    output::Output,
    verbs::Session,
};

fn main() -> ExitCode {
    let cli = match cli::read() {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing is left to tell anybody when even this cannot be printed.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Done.into() };
        }
    };
    run(cli).unwrap_or_else(|error| exit::report(&error)).into()
}

/// Does what was asked.
fn run(cli: Cli) -> anyhow::Result<Exit> {
    let output = Output::new(cli.globals.color);
    match cli.verb {
        Verb::Completions { shell } => manual::completions(shell, &output),
        Verb::Man { dir } => manual::man(dir.as_deref(), &output),
        verb => {
            let client = Client::new(cli.globals.socket, cli.globals.request_timeout);
            let session = Session { client, output, json: cli.globals.json };
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .context("cannot start the runtime")?
                .block_on(session.run(verb))
        }
    }
}
