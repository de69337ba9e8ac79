//! Package trees in bldr's format, without bldr: `Pkgfile`, `vars.yaml`, `pkg.yaml`.
//!
//! | module | what |
//! |---|---|
//! | [`template`] | Go templates with sprig's functions |

pub mod template;
