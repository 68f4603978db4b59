//! One verb each.

mod status;
mod updown;

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::timeout,
};

use crate::{
    bench, check,
    cli::{Binaries, Globals, Verb, Which},
    demo,
    exit::{Complaint, Exit},
    graph, package,
    programs::{self, Programs},
    report,
    runner::{Runner, containerlab::Containers, namespaces::Namespaces},
    setup,
    state::{Register, Standing},
    systemd,
    topology::Topology,
};

/// In which signals of one key press come.
const AT_ONCE: Duration = Duration::from_millis(20);

/// Does a verb. What it was doing when it is interrupted is undone.
///
/// # Errors
/// When it cannot be done.
pub async fn run(globals: Globals, verb: Verb) -> anyhow::Result<Exit> {
    if let Verb::Graph { output } = &verb {
        return graph(&globals, output.as_deref());
    }
    if let Verb::Demo { options, .. } = &verb
        && options.list
    {
        show(&demo::list(&options.scenarios)?)?;
        return Ok(Exit::Done);
    }
    setup::root()?;
    if let Verb::Exec { node, command } = verb {
        // An interrupt is for the program in the node.
        return exec(&Lab::named(&globals)?, &node, &command).await;
    }
    if let Verb::Report(options) = verb {
        // What was measured when it is interrupted is written.
        return report::run(options).await;
    }
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let code = tokio::select! {
        done = uninterrupted(globals, verb) => return done,
        _ = interrupt.recv() => 130,
        _ = terminate.recv() => 143,
    };
    eprintln!("anycast-lab: interrupted; all that it ran has ended");
    Ok(Exit::Code(code))
}

async fn uninterrupted(globals: Globals, verb: Verb) -> anyhow::Result<Exit> {
    match verb {
        Verb::Up { binaries } => updown::up(Lab::named(&globals)?, &binaries).await,
        Verb::Down => updown::down(&Lab::named(&globals)?).await,
        Verb::Status => status::run(&*Lab::named(&globals)?.find()?).await,
        Verb::Demo { binaries, options } => demo(Lab::named(&globals)?, &binaries, options).await,
        Verb::Bench { bench } => bench::run(bench).await.map(|()| Exit::Done),
        Verb::Package { binaries, options } => {
            if let Some(made) = package::make(&self::programs(&binaries).await?, &options)? {
                println!("{}", made.display());
            }
            Ok(Exit::Done)
        }
        Verb::Systemd { binaries, options } => systemd::run(&self::programs(&binaries).await?, &options).await,
        Verb::Test { filter } => check::run(filter.as_deref()).await,
        Verb::Report(_) | Verb::Exec { .. } | Verb::Graph { .. } | Verb::Tool { .. } | Verb::Init => {
            unreachable!("done elsewhere")
        }
    }
}

/// The lab that the command line means.
struct Lab {
    topology: Topology,
    name: String,
    which: Which,
    register: Register,
    /// The options that find this lab again: nothing, or a space before each.
    options: String,
}

impl Lab {
    fn named(globals: &Globals) -> anyhow::Result<Self> {
        let file = globals.topology.clone().unwrap_or_else(default_topology);
        let topology = Topology::read(&file)?;
        let name = globals.name.clone().unwrap_or_else(|| topology.name.clone());
        let options = again(globals);
        Ok(Self { topology, name, which: globals.runner, register: Register::default(), options })
    }

    /// The lab that is up.
    fn find(&self) -> anyhow::Result<Arc<dyn Runner>> {
        if let Some(standing) = self.standing()? {
            let again = "the lab is not whole any more; `cargo lab down`, then `cargo lab up`";
            return Ok(Arc::new(Namespaces::find(self.topology.clone(), &standing.nodes).context(again)?));
        }
        match self.containers()? {
            Some(containers) => Ok(Arc::new(containers.whole()?)),
            None => Err(self.not_up()),
        }
    }

    fn not_up(&self) -> anyhow::Error {
        Complaint::unavailable(format!("lab {} is not up; `cargo lab up` brings it up", self.name))
    }

    /// The lab in namespaces that stays up, if it may be meant.
    fn standing(&self) -> anyhow::Result<Option<Standing>> {
        match self.which {
            Which::Containerlab => Ok(None),
            Which::Auto | Which::Namespaces => self.register.find(&self.name),
        }
    }

    /// The lab in containers, if there may be one.
    fn containers(&self) -> anyhow::Result<Option<Containers>> {
        match self.which {
            Which::Namespaces => Ok(None),
            Which::Containerlab => Containers::find(self.topology.clone(), &self.name),
            // Without Docker there is none.
            Which::Auto => Ok(Containers::find(self.topology.clone(), &self.name).unwrap_or(None)),
        }
    }
}

fn again(globals: &Globals) -> String {
    let topology = globals.topology.as_ref().map(|file| format!(" --topology {}", file.display()));
    let name = globals.name.as_ref().map(|name| format!(" --name {name}"));
    topology.into_iter().chain(name).collect()
}

fn default_topology() -> PathBuf {
    programs::repository().join("lab/topology.clab.yml")
}

async fn programs(binaries: &Binaries) -> anyhow::Result<Programs> {
    match &binaries.bin_dir {
        Some(directory) => Programs::of(directory),
        None => Programs::build(binaries.release).await,
    }
}

async fn exec(lab: &Lab, node: &str, command: &[String]) -> anyhow::Result<Exit> {
    let runner = lab.find()?;
    if !lab.topology.nodes.contains_key(node) {
        let known: Vec<_> = lab.topology.nodes.keys().map(String::as_str).collect();
        return Err(Complaint::usage(format!("there is no node {node}; there are {}", known.join(", "))));
    }
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let argv: Vec<_> = command.iter().map(String::as_str).collect();
    let mut process = match runner.attach(node, &argv) {
        // As a shell says it, and `docker exec`.
        Err(error) if is_not_found(&error) => {
            eprintln!("anycast-lab: {error:#}");
            return Ok(Exit::Code(127));
        }
        other => other?,
    };
    tokio::select! {
        status = process.wait() => {
            let status = status?;
            // Whoever ends by an interrupt that we get as well may be seen to end first.
            let interrupted = timeout(AT_ONCE, interrupt.recv()).await.is_ok() && process.interrupted();
            Ok(if interrupted { Exit::Code(130) } else { Exit::of(status) })
        }
        _ = terminate.recv() => Ok(Exit::Code(143)),
    }
}

/// Prints. Whoever reads only the first lines has seen enough; a disk that is full has not.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn show(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}

/// Needs nothing but the files.
fn graph(globals: &Globals, output: Option<&Path>) -> anyhow::Result<Exit> {
    let drawing = graph::svg(&Lab::named(globals)?.topology);
    match output {
        Some(file) => fs::write(file, drawing).with_context(|| format!("cannot write {}", file.display()))?,
        None => show(&drawing)?,
    }
    Ok(Exit::Done)
}

fn is_not_found(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// In the containers that are there, or else in namespaces of its own, which nobody else can disturb.
async fn demo(lab: Lab, binaries: &Binaries, options: demo::Options) -> anyhow::Result<Exit> {
    // Before minutes are spent on what is not understood.
    let story = demo::Story::new(options)?;
    if let Some(containers) = lab.containers()? {
        let containers = Arc::new(containers.whole()?);
        let shown = Unfinished(&lab.name);
        demo::run(containers, story).await?;
        std::mem::forget(shown);
        return Ok(Exit::Done);
    }
    if lab.which == Which::Containerlab {
        return Err(lab.not_up());
    }
    setup::ensure(setup::Purpose::Run).await?;
    let programs = programs(binaries).await?;
    let runner = Arc::new(Namespaces::up(lab.topology, &programs).await?);
    demo::run(runner, story).await.map(|()| Exit::Done)
}

/// A demonstration in containers that stay. Dropped, it was interrupted or has failed: something may still be killed or cut off.
struct Unfinished<'a>(&'a str);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        let again = "`cargo lab down`, then `cargo lab up`";
        eprintln!("anycast-lab: the containers of lab {} are as the demonstration left them: {again}", self.0);
    }
}
