//! The quick start: what it says to type is typed.
