//! Enough open files for many connections, here and in the processes that are started from here.
//!
//! A system gives a program 1,024 at first, often, and more where it asks: what calls select(2)
//! could not do with more, and nothing here does.

use super::Failure;

/// Takes as many as the system gives.
#[cfg(unix)]
pub(super) fn raise_to_most() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let limits = getrlimit(Resource::Nofile);
    if limits.current == limits.maximum {
        return;
    }
    let raised = Rlimit {
        current: limits.maximum,
        maximum: limits.maximum,
    };
    if let Err(why) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%why, "more open files cannot be had");
    }
}

/// The same where less than so many do not do.
#[cfg(unix)]
pub(super) fn raise(wanted: u64) -> Result<(), Failure> {
    use rustix::process::{Resource, getrlimit};

    raise_to_most();
    // None is no limit.
    match getrlimit(Resource::Nofile).current {
        Some(most) if most < wanted => Err(Failure::Failed(format!(
            "so many keys need {wanted} open files in each of two processes, and the system gives \
             {most}: as root `ulimit -n {wanted}`, or LimitNOFILE={wanted} in a unit of systemd, \
             gives more; or measure fewer with --keys"
        ))),
        Some(_) | None => Ok(()),
    }
}

/// There is no such limit.
#[cfg(not(unix))]
pub(super) fn raise_to_most() {}

/// There is no such limit.
#[cfg(not(unix))]
pub(super) fn raise(_wanted: u64) -> Result<(), Failure> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn more_than_the_system_gives_is_refused_in_words() {
        assert!(raise(16).is_ok());
        let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
        if most.is_some_and(|most| most < u64::MAX) {
            let Err(Failure::Failed(text)) = raise(u64::MAX) else {
                panic!("it is not refused");
            };
            assert!(text.contains("ulimit -n"), "{text}");
        }
    }
}
