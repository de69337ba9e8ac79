//! `talosmith squashfs pack|list|extract|tar`

use std::fmt::Write as _;
use std::io;

use serde_json::{Value, json};

use super::super::args::{Pack, Squashfs, SquashfsExtract, SquashfsList};
use super::super::failure::{Failure, Outcome};
use super::super::options::{self, Options};
use super::super::printer::Printer;
use crate::archive::squashfs::{self, Node, OptionsError};
use crate::archive::tree::Kind;
use crate::base::{Epoch, digest};
use crate::plan::squashfs::{PackSpec, open, pack, to_tar};
use crate::plan::unsquash::extract;

pub(super) fn run(args: &Squashfs, options: &Options, printer: &Printer) -> Result<Outcome, Failure> {
    match args {
        Squashfs::Pack(args) => run_pack(args, options, printer)?,
        Squashfs::List(args) => run_list(args, printer)?,
        Squashfs::Extract(args) => run_extract(args, options, printer)?,
        Squashfs::Tar(args) => run_tar(args, options)?,
    }
    Ok(Outcome::Done)
}

fn run_pack(args: &Pack, options: &Options, printer: &Printer) -> Result<(), Failure> {
    let usage = |error: OptionsError| Failure::usage(error.to_string());
    let how = squashfs::Options {
        codec: args.codec.parse().map_err(usage)?,
        level: args.level,
        block_size: args.block_size,
        epoch: options.epoch,
        ..squashfs::Options::default()
    };
    how.check().map_err(usage)?;
    let spec = PackSpec {
        source: options::reference(&args.source)?,
        platform: args.platform.as_deref().map(options::platform).transpose()?,
        options: how,
        target: args.file.clone(),
    };
    let packed = pack(&spec, &options.context)?;
    let text = format!("{}@{}\n", packed.file.display(), packed.digest);
    printer.result("squashfs", json!({ "written": [packed] }), &text)?;
    Ok(())
}

fn run_list(args: &SquashfsList, printer: &Printer) -> Result<(), Failure> {
    let (image, nodes) = open(&args.file, &args.path)?;
    let mut text = String::new();
    for node in &nodes {
        let _ = writeln!(text, "{}", line(node)); // to a String
    }
    let info = image.info();
    let value = json!({
        "file": args.file,
        "codec": info.codec.name(),
        "blockSize": info.block_size,
        "created": time(i64::from(info.mtime)),
        "inodes": info.inodes,
        "size": info.size,
        "entries": nodes.iter().map(value).collect::<Vec<_>>(),
    });
    printer.result("squashfs", value, &text)?;
    Ok(())
}

fn run_extract(args: &SquashfsExtract, options: &Options, printer: &Printer) -> Result<(), Failure> {
    let done = extract(&options.context, &args.file, &args.folder, &args.path)?;
    let events = &options.context.events;
    if !done.owners {
        events.warn("the files are yours: only root may give them to their owners", None);
    }
    if !done.devices.is_empty() {
        let hint = "`talosmith squashfs tar` keeps them".to_owned();
        let text = format!("left out what only root may make: {}", done.devices.join(", "));
        events.warn(text, Some(hint));
    }
    if done.xattrs > 0 {
        let hint = "`talosmith squashfs tar` keeps them".to_owned();
        events.warn(format!("{} extended attributes cannot be set here", done.xattrs), Some(hint));
    }
    let value = json!({ "folder": args.folder, "extracted": done });
    printer.result("squashfs", value, &format!("{}\n", args.folder.display()))?;
    Ok(())
}

/// The tar is the result: there is no other output, with `--json` neither.
fn run_tar(args: &SquashfsList, options: &Options) -> Result<(), Failure> {
    use std::os::fd::AsFd as _;
    // Not through `Stdout`, which looks for the end of each line.
    let out =
        io::stdout().as_fd().try_clone_to_owned().map_err(|error| Failure::output(error.to_string()))?;
    match to_tar(&options.context, &args.file, &args.path, std::fs::File::from(out)) {
        // A reader that went away (`| tar t | head`) is no error.
        Err(crate::plan::Error::Write(crate::archive::tar::WriteError::Output { source }))
            if source.kind() == io::ErrorKind::BrokenPipe =>
        {
            Ok(())
        }
        result => Ok(result?),
    }
}

/// As `ls -l` shows it: what is unusual in a path or target is escaped.
fn line(node: &Node) -> String {
    let entry = &node.entry;
    let size = match &entry.kind {
        Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => format!("{major},{minor}"),
        _ => node.size().unwrap_or(0).to_string(),
    };
    let target = match &entry.kind {
        Kind::Symlink(target) => format!(" -> {}", target.escape_debug()),
        Kind::HardLink(target) => format!(" link to {}", target.escape_debug()),
        _ => String::new(),
    };
    let (owner, time) = (format!("{}/{}", entry.uid, entry.gid), time(entry.mtime));
    format!(
        "{}{} {owner:>9} {size:>10} {time} {}{target}",
        letter(&entry.kind),
        bits(entry.mode),
        node.path.escape_debug()
    )
}

fn letter(kind: &Kind) -> char {
    match kind {
        Kind::Directory => 'd',
        Kind::File(_) => '-',
        Kind::Symlink(_) => 'l',
        Kind::HardLink(_) => 'h',
        Kind::CharDevice { .. } => 'c',
        Kind::BlockDevice { .. } => 'b',
        Kind::Fifo => 'p',
    }
}

fn bits(mode: u32) -> String {
    let special = [(0o4000, 's', 'S'), (0o2000, 's', 'S'), (0o1000, 't', 'T')];
    let mut text = String::new();
    for (shift, (bit, with, without)) in [6, 3, 0].into_iter().zip(special) {
        let own = mode >> shift;
        text.push(if own & 4 == 0 { '-' } else { 'r' });
        text.push(if own & 2 == 0 { '-' } else { 'w' });
        text.push(match (own & 1 == 0, mode & bit == 0) {
            (true, true) => '-',
            (false, true) => 'x',
            (true, false) => without,
            (false, false) => with,
        });
    }
    text
}

fn time(seconds: i64) -> String {
    let epoch = u64::try_from(seconds).ok().and_then(Epoch::new);
    epoch.map_or_else(|| seconds.to_string(), |epoch| epoch.to_string())
}

fn value(node: &Node) -> Value {
    let entry = &node.entry;
    let (target, device) = match &entry.kind {
        Kind::Symlink(target) | Kind::HardLink(target) => (Some(target), None),
        Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => {
            (None, Some([major, minor]))
        }
        Kind::Directory | Kind::File(_) | Kind::Fifo => (None, None),
    };
    let xattrs: serde_json::Map<String, Value> =
        entry.xattrs.iter().map(|(name, value)| (name.clone(), digest::hex(value).into())).collect();
    json!({
        "path": node.path,
        "kind": entry.kind.name(),
        "mode": format!("{:04o}", entry.mode),
        "uid": entry.uid,
        "gid": entry.gid,
        "mtime": entry.mtime,
        "links": node.links,
        "inode": node.inode,
        "size": node.size(),
        "target": target,
        "device": device,
        "xattrs": xattrs,
    })
}
