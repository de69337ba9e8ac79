//! Package trees in bldr's format, without bldr: `Pkgfile`, `vars.yaml`, `pkg.yaml`.
//!
//! | module | what |
//! |---|---|
//! | [`steps`] | the steps of a package, run on a tree in memory |

pub mod steps;
