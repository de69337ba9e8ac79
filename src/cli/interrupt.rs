//! SIGINT and SIGTERM: programs that were started end, what is half-made goes, then the process does.

use std::sync::mpsc::{SyncSender, sync_channel};

use futures_util::future::{Either, select};

use super::printer::Printer;
use crate::base::{fsio, program};

/// What a shell shows for a process that SIGINT ended, as by Ctrl-C.
const INTERRUPTED: i32 = 130;
/// What a shell shows for a process that SIGTERM ended.
const TERMINATED: i32 = 143;

/// Watches for both signals from a thread of its own. Where they cannot be watched, they end the process
/// as they always do.
pub(super) fn watch(printer: &Printer) {
    let printer = printer.clone();
    // Watched before anything is begun, or a signal right at the start would find nobody.
    let (ready, watching) = sync_channel(1);
    let spawned = std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
        let Some(code) = runtime.block_on(wait(&ready)) else { return };
        printer.leave(code == INTERRUPTED);
        // First those that work for this process, since they may be told to leave something behind, too.
        let _programs = program::interrupt(code == TERMINATED);
        // Held to the end: a thread that wanted to begin a file now waits until there is none.
        let _guard = fsio::abandon();
        std::process::exit(code);
    });
    if spawned.is_ok() {
        let _ = watching.recv(); // an error: the thread gave up, and signals end the process as ever
    }
}

/// The exit code that a shell would show for the signal that came: 128 and its number.
async fn wait(ready: &SyncSender<()>) -> Option<i32> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt()).ok()?;
    let mut terminate = signal(SignalKind::terminate()).ok()?;
    let _ = ready.send(()); // whoever started this waits for it
    match select(Box::pin(interrupt.recv()), Box::pin(terminate.recv())).await {
        Either::Left((Some(()), _)) => Some(INTERRUPTED),
        Either::Right((Some(()), _)) => Some(TERMINATED),
        Either::Left((None, _)) | Either::Right((None, _)) => None,
    }
}
