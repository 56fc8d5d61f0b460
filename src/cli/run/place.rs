//! Where `roamkey run` plugs its keys in: a USB/IP server, this machine's vhci, or UHID.

use std::net::SocketAddr;

use roamkey_transport::usbip::{AllowList, BindError, Exports, Server};

use super::{
    super::Failure,
    args::{Args, BackendArg},
};
use crate::rig::Backend;

/// What does not go together, before a vault is opened for nothing.
pub(super) fn check(args: &Args) -> Result<(), Failure> {
    if args.keys == Some(0) && !args.ephemeral {
        return Err(Failure::Usage(
            "--keys 0 starts without a key, for a rig that adds its own: it goes with --ephemeral"
                .to_owned(),
        ));
    }
    let uhid = args.backend == BackendArg::Uhid;
    let usbip_only = [
        (args.listen.is_some(), "--listen"),
        (args.attach, "--attach"),
        (args.import_from.is_some(), "--import-from"),
        (!args.allow_from.is_empty(), "--allow-from"),
    ];
    match usbip_only.into_iter().find(|(given, _)| uhid && *given) {
        Some((_, option)) => Err(Failure::Usage(format!(
            "{option} is about USB/IP, and --backend uhid has none: this machine has the keys at \
             once, and nobody connects"
        ))),
        None => Ok(()),
    }
}

/// Takes the address, where hosts connect to one.
pub(super) fn take(args: &Args) -> Result<(Option<Server>, Backend), Failure> {
    if args.backend == BackendArg::Uhid {
        return Ok((None, Backend::Uhid));
    }
    let Some(address) = args.listening() else {
        let backend = Backend::UsbIp {
            exports: Exports::new(),
            listen: None,
            attach: args.attach,
        };
        return Ok((None, backend));
    };
    let allow = AllowList::new(args.allow_from.iter().copied());
    let mut server = Server::bind(address, allow).map_err(bind_failure)?;
    if let Some(from) = args.import_from {
        server = server.import_from(from.into()).map_err(bind_failure)?;
    }
    let listen = server
        .local_addr()
        .map_err(|why| Failure::failed("the listening address is unknown", why))?;
    let backend = Backend::UsbIp {
        exports: server.exports(),
        listen: Some(listen),
        attach: args.attach,
    };
    Ok((Some(server), backend))
}

fn bind_failure(error: BindError) -> Failure {
    match error {
        BindError::AddressInUse(address) => {
            let other =
                SocketAddr::new(address.ip(), address.port().checked_add(1).unwrap_or(3240));
            Failure::Failed(format!(
                "{address} is taken. The usual cause on Windows is the usbipd-win service, on \
                 Linux usbipd or another roamkey. Choose another port: roamkey run --listen {other}"
            ))
        }
        BindError::AllowListNeeded(address) => Failure::Usage(format!(
            "{address} can be reached by other machines, and USB/IP has no password: whoever \
             connects can sign in as you. Say who may attach, like --allow-from 192.168.7.0/24, or \
             listen on 127.0.0.1:{} for this machine alone",
            address.port()
        )),
        BindError::Io(address, why) => Failure::failed(format!("cannot listen on {address}"), why),
        other @ BindError::ImportFromUnsupported(_) => Failure::Usage(other.to_string()),
    }
}
