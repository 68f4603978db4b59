//! The documentation: every block, command and link in it is held against the programs, routers and files that it speaks of.
//!
//! A block says by its info string what it is ([`blocks`]); one that does not must be commands. So nobody adds a block that nothing looks at.

#![expect(clippy::unwrap_used, reason = "the lint knows tests by their attribute; these are some by their place")]

mod blocks;
mod commands;
mod links;
mod messages;
mod page;
mod start;
