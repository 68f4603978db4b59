//! openbgpd
