//! The keys of a rig: listed, renamed, wiped, removed, plugged in and out.

use roamkey_transport::{
    Peer,
    memory::{self, MemoryHost},
    usbip::{AttachError, BusId},
};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    Backend, KeyView, LossView, Rig, RigError, backend::not_on_usbip, slot::Slot, touch::view_of,
};
use crate::{
    journal::Event,
    key::Port,
    vault::{KeyNumber, VaultError},
};

impl Rig {
    /// Every key.
    ///
    /// # Errors
    /// None that is not another's doing: keys that go meanwhile are left out.
    pub async fn keys(&self) -> Result<Vec<KeyView>, RigError> {
        let mut views = Vec::new();
        for slot in self.slots() {
            if let Ok(view) = self.view(&slot).await {
                views.push(view);
            }
        }
        Ok(views)
    }

    /// One key, by its bus id or name.
    ///
    /// # Errors
    /// There is none.
    pub async fn key(&self, key: &str) -> Result<KeyView, RigError> {
        self.view(&*self.slot(key)?).await
    }

    /// The bus id of a key, by its bus id or name.
    ///
    /// # Errors
    /// There is no such key.
    pub fn bus_id(&self, key: &str) -> Result<String, RigError> {
        Ok(self.slot(key)?.bus_id())
    }

    pub(super) async fn view(&self, slot: &Slot) -> Result<KeyView, RigError> {
        let looked = slot.handle.visit(|device, _| {
            let state = device.state();
            let exportable = device.profile().exportable;
            (state.passkey_count(), state.pin_is_set(), exportable)
        });
        let (passkeys, pin_is_set, exportable) = looked.await.ok_or_else(|| slot.gone())?;
        let bus_id = slot.bus_id();
        Ok(KeyView {
            name: slot.name(),
            id: slot.id.clone(),
            serial: slot.serial.clone(),
            profile: slot.profile.clone(),
            created: slot.created,
            stored: slot.is_stored(),
            exportable,
            passkeys,
            pin_is_set,
            plugged: slot.handle.is_plugged(),
            host: slot.handle.host(),
            touch: view_of(&self.0.broker.policy(&bus_id)),
            bus_id,
        })
    }

    /// Gives a key another name.
    ///
    /// # Errors
    /// There is no such key, or the name is none or is taken.
    pub async fn rename_key(&self, key: &str, name: &str) -> Result<KeyView, RigError> {
        let _turn = self.0.changing.lock().await;
        let slot = self.slot(key)?;
        let taken = self.slots().into_iter();
        let mut taken = taken.filter(|other| other.number != slot.number);
        if taken.any(|other| other.name().as_deref() == Some(name)) {
            return Err(RigError::conflict(format!(
                "there is a key called {name:?} already"
            )));
        }
        if let (true, Some((vault, _))) = (slot.is_stored(), &self.0.vault) {
            let (number, name) = (KeyNumber(slot.number), name.to_owned());
            vault
                .work(move |store| store.rename_key(number, &name))
                .await?;
        } else {
            crate::vault::check_name(name)?;
        }
        slot.rename(name.to_owned());
        self.note(&slot, format!("renamed to {name}"));
        self.view(&slot).await
    }

    /// What a key would lose.
    ///
    /// # Errors
    /// There is no such key.
    pub async fn loss(&self, key: &str) -> Result<LossView, RigError> {
        let slot = self.slot(key)?;
        let key = self.view(&slot).await?;
        Ok(LossView {
            passkeys: self.passkeys_of(&slot).await?,
            pin: key.pin_is_set,
            key,
        })
    }

    /// Removes a key with everything in it, from the vault as well.
    ///
    /// # Errors
    /// There is no such key, or the vault does not take it.
    pub async fn remove_key(&self, key: &str) -> Result<LossView, RigError> {
        let _turn = self.0.changing.lock().await;
        let slot = self.slot(key)?;
        let loss = self.loss(key).await?;
        self.drop_slot(&slot).await;
        if let (true, Some((vault, _))) = (slot.is_stored(), &self.0.vault) {
            let number = KeyNumber(slot.number);
            let removed = vault.work(move |store| store.remove_key(number)).await;
            if let Err(why) = removed {
                self.reopen_after(why, &slot).await?;
            }
        }
        Ok(loss)
    }

    /// A key that the vault kept is served again.
    async fn reopen_after(&self, why: VaultError, slot: &Slot) -> Result<(), RigError> {
        self.open_stored(Some(vec![KeyNumber(slot.number)])).await?;
        self.plug_slot(&*self.slot(&slot.bus_id())?).await?;
        Err(why.into())
    }

    /// Ends a key's task and forgets it here.
    pub(super) async fn drop_slot(&self, slot: &Slot) {
        self.lock().remove(&slot.number);
        slot.handle.stop().await;
        slot.handle.gone().await;
        self.0.broker.forget_policy(&slot.bus_id());
        self.journal().record(&slot.bus_id(), Event::Removed);
    }

    /// Makes a key as good as new, as authenticatorReset does (CTAP 2.1 §6.6).
    ///
    /// # Errors
    /// There is no such key, or the vault does not take it.
    pub async fn wipe_key(&self, key: &str) -> Result<LossView, RigError> {
        let slot = self.slot(key)?;
        let loss = self.loss(key).await?;
        slot.handle
            .change(|state, _, rng| Ok(state.wipe(rng)))
            .await?;
        self.note(&slot, "wiped".to_owned());
        Ok(loss)
    }

    /// Puts a key on its backend's list. Nothing happens where it is there.
    ///
    /// # Errors
    /// There is no such key, or the backend does not take it.
    pub async fn plug(&self, key: &str) -> Result<KeyView, RigError> {
        let slot = self.slot(key)?;
        self.plug_slot(&slot).await?;
        self.view(&slot).await
    }

    pub(super) async fn plug_slot(&self, slot: &Slot) -> Result<(), RigError> {
        let _turn = slot.plugging.lock().await;
        if slot.handle.is_plugged() {
            return Ok(());
        }
        let Some(port) = self.0.backend.port(&slot.bus_id(), &slot.usb)? else {
            return Ok(());
        };
        if !slot.handle.plug(port).await {
            return Err(slot.gone());
        }
        self.0.backend.attach(&slot.bus_id(), false).await
    }

    /// Takes a key off its backend's list; when this returns, its host's session is over.
    ///
    /// # Errors
    /// There is no such key.
    pub async fn unplug(&self, key: &str) -> Result<KeyView, RigError> {
        let slot = self.slot(key)?;
        let turn = slot.plugging.lock().await;
        slot.handle.unplug().await;
        drop(turn);
        self.view(&slot).await
    }

    /// Unplugs a key and plugs it in again.
    ///
    /// # Errors
    /// There is no such key, or the backend does not take it.
    pub async fn replug(&self, key: &str) -> Result<KeyView, RigError> {
        self.unplug(key).await?;
        self.plug(key).await
    }

    /// Power goes and comes while the host keeps the device.
    ///
    /// # Errors
    /// There is no such key.
    pub async fn power_cycle(&self, key: &str) -> Result<KeyView, RigError> {
        let slot = self.slot(key)?;
        if !slot.handle.power_cycle().await {
            return Err(slot.gone());
        }
        self.view(&slot).await
    }

    /// Attaches a key that is plugged in to this machine's own kernel.
    ///
    /// # Errors
    /// There is no such key, it is not on USB/IP, or the kernel does not take it.
    pub async fn attach(&self, key: &str) -> Result<KeyView, RigError> {
        let slot = self.slot(key)?;
        self.plug_slot(&slot).await?;
        self.0.backend.attach(&slot.bus_id(), true).await?;
        self.view(&slot).await
    }

    /// Gives a key to the host at the other end of a stream, which then sends URBs at once. What
    /// the host has to know: the device's id and speed, as USB/IP numbers them.
    ///
    /// # Errors
    /// There is no such key, it is not on USB/IP, or another host has it.
    pub async fn attach_stream<S>(
        &self,
        key: &str,
        stream: S,
        peer: Peer,
    ) -> Result<(u32, u32), RigError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Backend::UsbIp { exports, .. } = &self.0.backend else {
            return Err(not_on_usbip());
        };
        let slot = self.slot(key)?;
        self.plug_slot(&slot).await?;
        let bus_id: BusId = slot.bus_id().parse().map_err(RigError::failed)?;
        let attached = exports.attach(&bus_id, stream, peer).await;
        let attached = attached.map_err(|why| match why {
            AttachError::NoSuchKey => slot.gone(),
            AttachError::Busy => RigError::conflict(why),
        })?;
        Ok((attached.devid.0, attached.speed))
    }

    /// Ends the session of a key's host, and leaves it where it can be attached again.
    ///
    /// # Errors
    /// There is no such key, or the backend does not take it again.
    pub async fn detach(&self, key: &str) -> Result<KeyView, RigError> {
        let slot = self.slot(key)?;
        let turn = slot.plugging.lock().await;
        if slot.handle.unplug().await
            && let Some(port) = self.0.backend.port(&slot.bus_id(), &slot.usb)?
        {
            slot.handle.plug(port).await;
        }
        drop(turn);
        self.view(&slot).await
    }

    /// Attaches a key to a host in this process, after ending the session of another one. The
    /// session ends when the host is dropped or the key unplugged.
    ///
    /// # Errors
    /// There is no such key, or the backend is none for hosts in this process.
    pub async fn connect(&self, key: &str) -> Result<MemoryHost, RigError> {
        if !matches!(self.0.backend, Backend::Memory) {
            return Err(RigError::conflict(
                "hosts in this process need the backend for them",
            ));
        }
        let slot = self.slot(key)?;
        let _turn = slot.plugging.lock().await;
        let (transport, host) = memory::pair();
        let hosts = roamkey_transport::Attachments::once(Box::new(transport));
        slot.handle.unplug().await;
        let pull = Box::new(|| ());
        match slot.handle.plug(Port { hosts, pull }).await {
            true => Ok(host),
            false => Err(slot.gone()),
        }
    }

    /// Notes what the owner of a key changed.
    pub(super) fn note(&self, slot: &Slot, what: String) {
        let event = Event::Changed { what };
        self.journal().record(&slot.bus_id(), event);
    }
}
