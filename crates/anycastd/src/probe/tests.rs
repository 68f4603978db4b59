//! What concerns probers of all kinds.

use anycast_core::config::{ProbeConfig, TcpProbe};

use super::*;

/// Thousands of runs a second move it about.
#[test]
fn a_run_is_small() {
    let config = ProbeConfig::Tcp(TcpProbe { addresses: Vec::new() });
    let size = size_of_val(&Prober::new(&config).run(Duration::ZERO));
    assert!(size < 6 * 1024, "{size} octets");
}
