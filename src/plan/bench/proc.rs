//! The kernel's accounts of processes, from the text of `/proc` (`Documentation/filesystems/proc.rst`).
//!
//! A process's own accounts hold those of its children too, as soon as it has waited for them: processor time
//! in fields 16 and 17 of `stat`, and bytes in `io` (`wait_task_zombie` in `kernel/exit.c` adds them up). Who
//! runs one child at a time gets the child's exact numbers as a difference, without asking the child.

/// Units of `stat` in a second: `USER_HZ`, which is 100 for every architecture that Talos has.
const TICKS: f64 = 100.0;

/// What children cost that have ended and were waited for, with their own such children. Of `io`, what the
/// process itself moved is in it as well.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Account {
    /// Ticks in their own code.
    user: Option<u64>,
    /// Ticks in the kernel.
    system: Option<u64>,
    /// Bytes from storage.
    read: Option<u64>,
    /// Bytes to storage.
    written: Option<u64>,
}

/// What lies between two accounts.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Spent {
    /// Seconds in their own code.
    pub user: Option<f64>,
    /// Seconds in the kernel.
    pub system: Option<f64>,
    /// Bytes from storage.
    pub read: Option<u64>,
    /// Bytes to storage.
    pub written: Option<u64>,
}

impl Account {
    /// From the texts of `/proc/self/stat` and `/proc/self/io`; what cannot be read is missing.
    pub fn parse(stat: &str, io: &str) -> Self {
        // The second field is a name in parentheses, and may hold any of the separators.
        let fields = stat.rsplit_once(')').map(|(_, fields)| fields).unwrap_or_default();
        let field = |number: usize| fields.split_ascii_whitespace().nth(number - 3)?.parse().ok();
        Self {
            user: field(16),
            system: field(17),
            read: value(io, "read_bytes"),
            written: value(io, "write_bytes"),
        }
    }

    /// What was spent since `before`.
    pub fn since(&self, before: &Self) -> Spent {
        let less = |now: Option<u64>, before: Option<u64>| Some(now?.saturating_sub(before?));
        let seconds = |ticks: Option<u64>| ticks.map(|ticks| ticks as f64 / TICKS);
        Spent {
            user: seconds(less(self.user, before.user)),
            system: seconds(less(self.system, before.system)),
            read: less(self.read, before.read),
            written: less(self.written, before.written),
        }
    }
}

/// Seconds of processor time that a process has spent itself, in its own code and in the kernel, from the text of
/// its `stat`; 0 where it cannot be read.
pub fn own(stat: &str) -> (f64, f64) {
    let fields = stat.rsplit_once(')').map(|(_, fields)| fields).unwrap_or_default();
    let field = |number: usize| fields.split_ascii_whitespace().nth(number - 3)?.parse::<u64>().ok();
    let seconds = |number| field(number).map_or(0.0, |ticks| ticks as f64 / TICKS);
    (seconds(14), seconds(15))
}

/// The largest resident memory that a process ever had, in bytes, from the text of `/proc/PID/status`.
pub fn peak(status: &str) -> Option<u64> {
    value::<u64>(status, "VmHWM").map(|kilobytes| kilobytes.saturating_mul(1024))
}

/// The processes of a list such as `/proc/PID/task/TID/children`.
pub fn processes(list: &str) -> impl Iterator<Item = i32> {
    list.split_ascii_whitespace().filter_map(|word| word.parse().ok())
}

/// The first word behind `NAME:`.
fn value<T: std::str::FromStr>(text: &str, name: &str) -> Option<T> {
    let value =
        |line: &str| line.strip_prefix(name)?.strip_prefix(':')?.split_whitespace().next()?.parse().ok();
    text.lines().find_map(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IO: &str = "rchar: 323934931\nwchar: 323929600\nsyscr: 632687\nsyscw: 632675\nread_bytes: 4096\n\
        write_bytes: 323932160\ncancelled_write_bytes: 5\n";

    #[test]
    fn the_childrens_time_is_found_behind_any_name() {
        let stat = "42 (a) R 1 (b)) S 1 42 42 0 -1 4194304 1 2 3 4 100 200 1250 75 20 0 1 0 12 34 56";
        let account = Account::parse(stat, IO);
        let nothing =
            Account::parse("1 (x) S 1 2 3 4 5 6 7 8 9 10 1 2 50 5 20", "read_bytes: 96\nwrite_bytes: 0\n");
        let spent = account.since(&nothing);
        assert_eq!((spent.user, spent.system), (Some(12.0), Some(0.7)));
        assert_eq!((spent.read, spent.written), (Some(4000), Some(323_932_160)));
    }

    #[test]
    fn what_the_kernel_does_not_tell_is_missing() {
        let account = Account::parse("", "");
        assert_eq!(account, Account::default());
        assert_eq!(
            account.since(&Account::parse("1 (x) S 1 2 3 4 5 6 7 8 9 10 1 2 50 5 20", IO)),
            Spent::default()
        );
        assert_eq!(peak("Name:\tx\nState:\tZ (zombie)\n"), None);
    }

    #[test]
    fn memory_is_in_bytes_and_children_are_numbers() {
        assert_eq!(peak("VmPeak:\t   99 kB\nVmHWM:\t    1234 kB\nVmRSS:\t 7 kB\n"), Some(1234 * 1024));
        assert_eq!(processes("12 345 \n").collect::<Vec<_>>(), [12, 345]);
        assert_eq!(processes("").count(), 0);
    }
}
