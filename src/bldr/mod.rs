//! Package trees in bldr's format, without bldr: `Pkgfile`, `vars.yaml`, `pkg.yaml`.
//!
//! | module | what |
//! |---|---|
//! | [`template`] | Go templates with sprig's functions |
//! | [`pkgfile`] | the files of a tree as types, all its packages |
//! | [`steps`] | the steps of a package, run on a tree in memory |

pub mod pkgfile;
pub mod steps;
pub mod template;
