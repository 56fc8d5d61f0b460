//! The files of a control plane.

use super::*;

#[tokio::test]
async fn address_that_others_reach_is_refused() {
    let directory = Directory::new();
    for address in ["0.0.0.0:0", "192.0.2.1:0", "[::]:0"] {
        let options = Options {
            tcp: Some(address.parse().unwrap()),
            ..directory.options(Limits::default())
        };
        let refused = Control::start(rig().await, options).await;
        let why = refused.err().expect("a refusal").to_string();
        assert!(why.contains("127.0.0.1"), "{why}");
    }
    assert!(!directory.0.join("run").exists());
}

#[cfg(unix)]
mod unix {
    use std::{
        fs,
        os::unix::{
            fs::{PermissionsExt as _, symlink},
            net::{UnixListener, UnixStream},
        },
    };

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn files_are_their_owners_alone_and_go_at_the_end() {
        let directory = Directory::new();
        let options = Options {
            tcp: Some("127.0.0.1:0".parse().unwrap()),
            ..directory.options(Limits::default())
        };
        let run = directory.0.join("run");
        fs::create_dir(&run).unwrap();
        fs::set_permissions(&run, fs::Permissions::from_mode(0o755)).unwrap();
        let control = Control::start(rig().await, options.clone()).await.unwrap();
        let places = control.places();
        let (socket, token) = (places.socket.unwrap(), places.token_file.unwrap());
        assert_eq!(mode(&run), 0o700);
        assert_eq!(mode(&socket), 0o600);
        assert_eq!(mode(&token), 0o600);
        let text = fs::read_to_string(&token).unwrap();
        assert!(text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()));
        // Another one in the same process has no socket of its own name.
        assert!(Control::start(rig().await, options.clone()).await.is_err());
        assert!(UnixStream::connect(&socket).is_ok());
        drop(control);
        assert!(!socket.exists() && !token.exists());
        let next = Control::start(rig().await, options).await.unwrap();
        let again = fs::read_to_string(next.places().token_file.unwrap()).unwrap();
        assert_ne!(text, again);
    }

    #[tokio::test]
    async fn files_of_dead_processes_are_removed() {
        let directory = Directory::new();
        let run = directory.0.join("run");
        fs::create_dir(&run).unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let dead = child.id();
        child.wait().unwrap();
        let alive = std::process::id();
        let of = |process: u32, kind: &str| run.join(format!("{process}.{kind}"));
        for path in [of(dead, "sock"), of(alive, "sock")] {
            drop(UnixListener::bind(path).unwrap());
        }
        for path in [of(dead, "token"), of(1, "token"), of(dead, "else")] {
            fs::write(path, "").unwrap();
        }
        let control = Control::start(rig().await, directory.options(Limits::default()));
        let control = control.await.unwrap();
        assert_eq!(control.places().socket, Some(of(alive, "sock")));
        assert!(!of(dead, "sock").exists() && !of(dead, "token").exists());
        assert!(of(1, "token").exists() && of(dead, "else").exists());
        assert_eq!(Place::new(run).sockets().len(), 1);
    }

    #[tokio::test]
    async fn directory_behind_a_link_is_refused() {
        let directory = Directory::new();
        fs::create_dir(directory.0.join("elsewhere")).unwrap();
        symlink("elsewhere", directory.0.join("run")).unwrap();
        let refused = Control::start(rig().await, directory.options(Limits::default())).await;
        assert!(matches!(refused.err(), Some(ControlError::NotOurs(_))));
    }

    #[tokio::test]
    async fn path_longer_than_a_socket_takes_is_refused() {
        let directory = Directory::new();
        let options = Options {
            directory: Some(directory.0.join("x".repeat(100))),
            ..Options::default()
        };
        let refused = Control::start(rig().await, options).await;
        assert!(matches!(refused.err(), Some(ControlError::LongPath(_))));
    }
}
