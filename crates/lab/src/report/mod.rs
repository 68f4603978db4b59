//! The report of failovers: what it says ([`data`]), what its runs come to ([`statistics`]), and how it is drawn, as a plain
//! [`table`](mod@table) and as a page ([`html`](mod@html)).

pub mod data;
pub mod html;
pub mod statistics;
pub mod table;
mod words;

#[cfg(test)]
mod sample;
