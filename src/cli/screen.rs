//! The terminal that bars are drawn on. Its lines end before its edge: a terminal shows Ctrl-C as `^C` where the cursor
//! is, and behind a full line that would begin another one, so that whatever takes the bars away missed one.

use std::io::{self, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

use indicatif::TermLike;
use rustix::termios::tcgetwinsize;

/// Columns that stay free: for `^C`, and for the cursor behind it.
const MARGIN: u16 = 3;
/// What a terminal has that does not say (`COLUMNS` and `LINES` of the DEC VT100).
const VT100: (u16, u16) = (80, 24);

/// Standard error, of which what is drawn is written at once.
#[derive(Debug, Default)]
pub(super) struct Screen {
    drawn: Mutex<String>,
}

impl Screen {
    fn draw(&self, text: &str) -> io::Result<()> {
        self.drawn().push_str(text);
        Ok(())
    }

    /// A control sequence with a number (ECMA-48, 8.3.18 to 8.3.22), of which 0 would stand for 1.
    fn go(&self, number: usize, way: char) -> io::Result<()> {
        match number {
            0 => Ok(()),
            number => self.draw(&format!("\x1b[{number}{way}")),
        }
    }

    fn drawn(&self) -> MutexGuard<'_, String> {
        self.drawn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Columns and lines.
fn size() -> (u16, u16) {
    match tcgetwinsize(io::stderr()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col, size.ws_row),
        _ => VT100,
    }
}

impl TermLike for Screen {
    fn width(&self) -> u16 {
        size().0.saturating_sub(MARGIN).max(1)
    }

    fn height(&self) -> u16 {
        size().1
    }

    fn move_cursor_up(&self, lines: usize) -> io::Result<()> {
        self.go(lines, 'A')
    }

    fn move_cursor_down(&self, lines: usize) -> io::Result<()> {
        self.go(lines, 'B')
    }

    fn move_cursor_right(&self, columns: usize) -> io::Result<()> {
        self.go(columns, 'C')
    }

    fn move_cursor_left(&self, columns: usize) -> io::Result<()> {
        self.go(columns, 'D')
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.draw(text)?;
        self.draw("\n")
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.draw(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.draw("\r\x1b[2K")
    }

    fn flush(&self) -> io::Result<()> {
        let drawn = std::mem::take(&mut *self.drawn());
        io::stderr().lock().write_all(drawn.as_bytes())
    }
}
