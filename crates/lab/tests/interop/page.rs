//! `docs/src/interop.md`: what was seen to work with whom.
//!
//! The page follows from the code: whatever a peer is not said to be unable to do, a story has to show. So it is known to be current
//! without trying anything; and it is written anew only from the notes that the stories leave, with the versions said there:
//!
//! ```text
//! export ANYCAST_INTEROP_TABLE=$PWD/target/interop
//! cargo test -p anycast-lab --test interop && cargo test -p anycast-lab --test interop -- --ignored
//! ```

use std::{fmt::Write as _, fs, path::PathBuf};

use anyhow::{Context as _, ensure};

use crate::{
    bird::Bird,
    exabgp::ExaBgp,
    feature::{Feature, TABLE, noted},
    frr::Frr,
    gobgp::GoBgp,
    openbgpd::OpenBgpd,
    peer::Peer,
};

const HEAD: &str = "# Other implementations

What was seen to work, and with whom. The agent is in one network namespace and the other implementation, as Debian 12 packages it, in
another; *yes* means that the other one's own command line showed it. Every message that the agent sent meanwhile was read by tshark,
without a complaint; only into messages beyond 4096 octets its version 4.0 does not look. `cargo lab test` tries all of it again.

";

const FOOT: &str = "
BIRD, OpenBGPD, GoBGP and ExaBGP show GRACEFUL_SHUTDOWN and do nothing about it by themselves: see `drain_by` in
[Configuration](configuration.md).

## BFD

Seen with FRR's bfdd and with BIRD; OpenBGPD, GoBGP and ExaBGP have no BFD. tshark read every packet of either end without a remark.

| | FRR 8.4.4 | BIRD 2.0.12 |
|---|---|---|
| one hop, IPv4 and IPv6, 50 ms × 3 and 10 ms × 3 | yes | yes |
| several hops | yes | yes: loopback to loopback |
| link-local addresses; routers that dial; neighbors by `prefix` | yes | not tried |
| authentication | no: it has none | yes: all five types, and another key is not heard |
| intervals changed at either end while the session is Up, without a loss | yes | yes |
| the router takes its session down: AdminDown, and BGP goes on | yes | no: it says nothing, and is lost as if the path were; BGP goes on without BFD |
| the agent takes its session down (AdminDown), and the router's BGP goes on (RFC 5882 §3.2) | no: it ends BGP | no: it ends BGP |
| the path is cut without a word, the daemon is killed, the agent is killed or hangs | yes | measured: [BFD](bench.md#bfd) |
| the agent is upgraded in place, and the session stays Up | yes | not tried |

[aiobfd](https://pypi.org/project/aiobfd/) (Python 3.11, with `bitstring<4`), which does BFD alone, was a third: one hop, IPv4, 300 ms × 3; its end was noticed.
";

/// A column of the table.
struct Column {
    name: &'static str,
    tried: &'static str,
    cannot: fn(Feature) -> Option<&'static str>,
}

impl Column {
    const fn of<P: Peer>() -> Self {
        Self { name: P::NAME, tried: P::TRIED, cannot: P::cannot }
    }
}

const COLUMNS: [Column; 5] = [
    Column::of::<Frr>(),
    Column::of::<Bird>(),
    Column::of::<OpenBgpd>(),
    Column::of::<GoBgp>(),
    Column::of::<ExaBgp>(),
];

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/interop.md")
}

/// The page.
fn page() -> Result<String, std::fmt::Error> {
    let mut page = format!("{HEAD}| ");
    let mut notes = String::new();
    let mut numbered = 0;
    for column in &COLUMNS {
        write!(page, "| {} {} ", column.name, column.tried)?;
    }
    writeln!(page, "|\n|---{}|", "|---".repeat(COLUMNS.len()))?;
    for (feature, words) in Feature::ALL {
        write!(page, "| {words} ")?;
        for column in &COLUMNS {
            if let Some(why) = (column.cannot)(feature) {
                numbered += 1;
                write!(page, "| no[^{numbered}] ")?;
                writeln!(notes, "[^{numbered}]: {} {}: {why}.\n", column.name, column.tried)?;
            } else {
                write!(page, "| yes ")?;
            }
        }
        writeln!(page, "|")?;
    }
    Ok(format!("{page}{FOOT}\n{}\n", notes.trim_end()))
}

#[test]
fn the_page_is_current() -> anyhow::Result<()> {
    let found = fs::read_to_string(path()).unwrap_or_default();
    ensure!(found == page()?, "{}: write it anew, as {} says", path().display(), file!());
    Ok(())
}

#[test]
#[ignore = "writes the page, after all stories were told"]
fn the_page_is_written() -> anyhow::Result<()> {
    for Column { name, tried, cannot } in &COLUMNS {
        let version = noted(&format!("{name}.version")).with_context(|| format!("{TABLE} has no version of {name}"))?;
        ensure!(version == *tried, "{name} {version} was tried; say so in its file, and look at what it cannot do");
        for (feature, words) in Feature::ALL {
            let seen = noted(&format!("{name}.{feature:?}")).is_some();
            ensure!(seen || cannot(feature).is_some(), "{name}: it was not seen: {words}");
        }
    }
    fs::write(path(), page()?).with_context(|| path().display().to_string())
}
