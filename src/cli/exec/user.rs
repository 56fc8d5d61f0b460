//! The user that a command runs as, with its groups (Linux).

use nix::unistd::{Gid, Uid, getgrouplist, initgroups, setgid, setgroups, setuid};

/// Somebody whom a command can run as.
#[derive(Debug)]
pub(super) struct User {
    pub(super) id: u32,
    pub(super) group: u32,
    /// As the system calls them, and where they live; a number alone has neither.
    account: Option<nix::unistd::User>,
}

impl User {
    /// By name or number.
    pub(super) fn find(text: &str) -> Result<Self, String> {
        let failed = |why| format!("user {text}: {why}");
        let number = text.parse::<u32>().ok();
        let account = match number {
            Some(number) => nix::unistd::User::from_uid(Uid::from_raw(number)).map_err(failed)?,
            None => nix::unistd::User::from_name(text).map_err(failed)?,
        };
        match (account, number) {
            (Some(account), _) => Ok(Self {
                id: account.uid.as_raw(),
                group: account.gid.as_raw(),
                account: Some(account),
            }),
            // A rig may have a number for each worker, and no accounts.
            (None, Some(number)) => Ok(Self {
                id: number,
                group: number,
                account: None,
            }),
            (None, None) => Err(format!("this system has no user called {text:?}")),
        }
    }

    /// What a login would say of the user.
    pub(super) fn env(&self) -> Vec<(&'static str, String)> {
        let Some(account) = &self.account else {
            return vec![("HOME", "/".to_owned())];
        };
        vec![
            ("HOME", account.dir.display().to_string()),
            ("USER", account.name.clone()),
            ("LOGNAME", account.name.clone()),
        ]
    }

    /// This process is the user's from now on.
    pub(super) fn become_it(&self) -> Result<(), String> {
        let failed = |why| format!("cannot run as user {}: {why}", self.id);
        let group = Gid::from_raw(self.group);
        let name = self.account.as_ref();
        let name = name.and_then(|account| std::ffi::CString::new(account.name.clone()).ok());
        match name {
            Some(name) => {
                // Asked for first, since initgroups says nothing of a directory that is not there.
                getgrouplist(&name, group).map_err(failed)?;
                initgroups(&name, group).map_err(failed)?;
            }
            None => setgroups(&[group]).map_err(failed)?,
        }
        setgid(group).map_err(failed)?;
        setuid(Uid::from_raw(self.id)).map_err(failed)
    }
}
