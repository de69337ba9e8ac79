//! Package trees in bldr's format, without bldr: `Pkgfile`, `vars.yaml`, `pkg.yaml`.
//!
//! | module | what |
//! |---|---|
//! | [`template`] | Go templates with sprig's functions |
//! | [`pkgfile`] | the files of a tree as types, all its packages |

pub mod pkgfile;
pub mod template;
