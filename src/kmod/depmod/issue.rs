//! What is wrong with the modules of a tree.

/// One thing that is wrong. Paths are those of the tree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Issue {
    /// The file is no module.
    NoModule {
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// Modules need one another: `depmod` writes nothing then, and none of them can be loaded.
    Loop {
        /// The modules, each needed by the one before it, the first by the last.
        paths: Vec<String>,
    },
    /// A module needs symbols that neither the kernel nor a module of the tree exports.
    Unresolved {
        /// The module.
        path: String,
        /// The symbols, each with the hidden module that would export it.
        symbols: Vec<(String, Option<String>)>,
    },
    /// A module says that it needs another, and that one is not there.
    NoDependency {
        /// The module.
        path: String,
        /// The name of the other one.
        needs: String,
    },
    /// A module was built for another type of a symbol than its exporter has.
    Version {
        /// The module.
        path: String,
        /// The symbol.
        symbol: String,
        /// Who exports it; `None` for the kernel.
        exporter: Option<String>,
        /// The CRC that the module was built for.
        wanted: u32,
        /// The CRC of the exporter.
        exported: u32,
    },
    /// The kernel has a module of this name built in, so that this one is never loaded.
    BuiltIn {
        /// The module.
        path: String,
    },
    /// Another module of the same name counts.
    Hidden {
        /// The module that does not count.
        path: String,
        /// The one that does.
        by: String,
        /// Whether the search order says so; if not, the order of the paths does.
        by_order: bool,
    },
    /// Something that the index files cannot hold.
    NotIndexed {
        /// The module.
        path: String,
        /// A name, an alias.
        text: String,
        /// Why not.
        why: &'static str,
    },
}

impl Issue {
    /// The module that it is about; of a loop the first.
    pub fn path(&self) -> &str {
        match self {
            Self::Loop { paths } => paths.first().map_or("", String::as_str),
            Self::NoModule { path, .. }
            | Self::Unresolved { path, .. }
            | Self::NoDependency { path, .. }
            | Self::Version { path, .. }
            | Self::BuiltIn { path }
            | Self::Hidden { path, .. }
            | Self::NotIndexed { path, .. } => path,
        }
    }
}
