//! The agent against five other implementations, each as its own command line shows what it has heard.
//!
//! A [`peer::Peer`] knows how one of them is configured, started and asked; [`stories`] are told with each of them, in a
//! [`pair::Pair`] of network namespaces of its own. What a peer cannot do is said in its file, and every cell of
//! `docs/src/interop.md` comes from there or from a story that was told to its end ([`page`]).

#[macro_use]
mod stories;

mod bfd;
mod bird;
mod exabgp;
mod feature;
mod frr;
mod gobgp;
mod load;
mod openbgpd;
mod page;
mod pair;
mod peer;
mod wire;
