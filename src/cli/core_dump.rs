//! Keeps what this process has in memory out of core dumps and from its user's other processes.
//!
//! Where a process is not dumpable (PR_SET_DUMPABLE of prctl(2)), no dump is written, whether to a
//! file or into a pipe of core(5), and ptrace(2) and /proc/PID/mem are root's alone. RLIMIT_CORE of
//! getrlimit(2) is the second line, and the only one on a Unix that is not Linux. Deliberately
//! absent: mlock(2), so the system's swap has to be safe; and Windows, whose error reporting is
//! turned off only by calls that unsafe code makes.

/// Set to 1 by who debugs roamkey itself.
const ALLOWED: &str = "ROAMKEY_CORE_DUMPS";

/// Whether RLIMIT_CORE, which commands that are started inherit, may be lowered for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    /// No command of the user's is started.
    Lower,
    /// A command is, and is to have the limit that its user chose. On Linux it starts dumpable, as
    /// every program does, so that nothing has to be given back to it.
    Keep,
}

/// Before anything secret is read.
pub(super) fn forbid(limit: Limit) {
    if std::env::var_os(ALLOWED).is_some_and(|value| value == "1") {
        tracing::warn!("{ALLOWED}=1: a crash may write secrets to a file, and debuggers read them");
        return;
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};

        if let Err(why) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
            tracing::warn!(%why, "a crash may write secrets to a file");
        }
    }
    match limit {
        Limit::Lower => lower(),
        Limit::Keep => {}
    }
}

#[cfg(unix)]
fn lower() {
    use rustix::process::{Resource, Rlimit, setrlimit};

    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    if let Err(why) = setrlimit(Resource::Core, none) {
        tracing::warn!(%why, "RLIMIT_CORE stays as it is");
    }
}

/// There are no such limits.
#[cfg(not(unix))]
fn lower() {}
