//! Keeps processors busy.

use std::{hint::black_box, thread};

use clap::Args;

/// `spin`.
#[derive(Debug, Args)]
pub struct Spin {
    /// How many threads do nothing else
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    threads: u16,
}

impl Spin {
    /// Spins until it is killed.
    pub(super) async fn run(self) -> anyhow::Result<()> {
        for _ in 0..self.threads {
            thread::Builder::new().spawn(spin)?;
        }
        std::future::pending().await
    }
}

fn spin() {
    let mut number: u64 = 1;
    loop {
        number = black_box(number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
}
