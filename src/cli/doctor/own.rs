//! roamkey's own files: the vault, the directory for sockets, and who runs already.

use std::path::Path;

use super::{
    report::{Check, State},
    system::System,
};

pub(super) fn checks(system: &System) -> Vec<Check> {
    let places = runtime_directory(system);
    let mut checks = vec![vault(system)];
    if cfg!(unix) {
        checks.push(sockets(system, places.as_deref()));
        checks.push(running(system, places.as_deref()));
    }
    checks
}

fn vault(system: &System) -> Check {
    let name = "vault";
    let Some(path) = system.vault() else {
        return Check::new(
            name,
            State::Warning,
            "no home directory is known for this user",
        )
        .advice("Name a file with --vault PATH, or set HOME.");
    };
    if !system.exists(&path) {
        let Some(directory) = nearest_directory(system, &path) else {
            return Check::not_applicable(name, format!("none at {path}"));
        };
        if system.may_write(&directory) {
            let found = format!("none yet; `roamkey run` makes {path}");
            return Check::not_applicable(name, found);
        }
        let found = format!("this user may not write to {directory}");
        let check = Check::new(name, State::Failed, found);
        // What is above a home is not this user's to take: the whole system may be there.
        let home = system.env("HOME");
        let in_home = home.is_some_and(|home| Path::new(&directory).starts_with(home));
        return match in_home {
            true => check
                .advice("Give the directory back to its user, or say --vault PATH:")
                .command(format!("sudo chown \"$(id -u)\" {}", quoted(&directory))),
            false => check.advice("Name a file elsewhere with --vault PATH, or set HOME."),
        };
    }
    if !system.may_write(&path) {
        return Check::new(
            name,
            State::Failed,
            format!("this user may not open {path}"),
        )
        .advice("It is another user's, perhaps since a run with sudo:")
        .command(format!("sudo chown \"$(id -u)\" {}", quoted(&path)));
    }
    match others_may(system, &path) {
        Some(mode) => Check::new(name, State::Warning, format!("{path} has mode {mode:04o}"))
            .advice("Others may read it, and what they copy is only as safe as what unlocks it:")
            .command(format!("chmod 600 {}", quoted(&path))),
        None => Check::ok(name, path),
    }
}

/// The mode of a file that others than its owner may use.
#[cfg(unix)]
fn others_may(system: &System, path: &str) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt as _;

    let metadata = system.path(path).metadata().ok()?;
    let mode = metadata.permissions().mode() & 0o7777;
    (mode & 0o077 != 0).then_some(mode)
}

#[cfg(not(unix))]
fn others_may(_system: &System, _path: &str) -> Option<u32> {
    None
}

/// Where sockets are, as `control` chooses it.
fn runtime_directory(system: &System) -> Option<String> {
    let given = system.env("XDG_RUNTIME_DIR");
    if let Some(directory) = given.filter(|path| path.starts_with('/') && system.is_dir(path)) {
        return Some(format!("{directory}/roamkey"));
    }
    let state = system
        .env("XDG_STATE_HOME")
        .filter(|path| path.starts_with('/'));
    let state = state.or_else(|| Some(format!("{}/.local/state", system.env("HOME")?)))?;
    Some(format!("{state}/roamkey/run"))
}

fn sockets(system: &System, directory: Option<&str>) -> Check {
    let name = "runtime directory";
    let Some(directory) = directory else {
        return Check::new(
            name,
            State::Warning,
            "neither XDG_RUNTIME_DIR nor HOME is set",
        )
        .advice("A running roamkey takes no commands then. Set one:")
        .command("export XDG_RUNTIME_DIR=/run/user/$(id -u)");
    };
    match nearest_directory(system, directory) {
        Some(there) if !system.may_write(&there) => Check::new(
            name,
            State::Failed,
            format!("this user may not write to {there}"),
        )
        .advice("A running roamkey takes no commands then. Give it another:")
        .command("export XDG_RUNTIME_DIR=\"$(mktemp -d)\""),
        Some(_) | None => Check::ok(name, directory),
    }
}

/// The directory itself, or the one above it that is there.
fn nearest_directory(system: &System, path: &str) -> Option<String> {
    let above = Path::new(path).ancestors();
    let mut above = above.filter_map(|path| path.to_str());
    above.find(|path| system.is_dir(path)).map(str::to_owned)
}

/// Sockets are named after the processes that have them. None is connected to: a process that
/// hangs would keep this one waiting.
fn running(system: &System, directory: Option<&str>) -> Check {
    let name = "running";
    let names = directory
        .map(|path| system.names_in(path))
        .unwrap_or_default();
    let processes = names.iter().filter_map(|name| name.strip_suffix(".sock"));
    // Without /proc what is there is believed.
    let alive = |id: &&str| !system.is_dir("/proc/self") || system.is_dir(&format!("/proc/{id}"));
    let alive: Vec<_> = processes.filter(alive).collect();
    match alive.as_slice() {
        [] => Check::not_applicable(name, "no roamkey of this user"),
        [one] => Check::ok(name, format!("process {one}")),
        several => Check::ok(name, format!("processes {}", several.join(", "))),
    }
}

/// A path for a shell.
fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    match path.chars().all(plain) {
        true => path.to_owned(),
        false => format!("'{}'", path.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_with_spaces_and_quotes_is_one_word_of_a_shell() {
        assert_eq!(quoted("/home/you/vault.redb"), "/home/you/vault.redb");
        assert_eq!(quoted("/home/a b/it's"), r"'/home/a b/it'\''s'");
    }
}
