//! authenticatorConfig (CTAP 2.1 §6.11, CTAP 2.3 §6.11).

use super::{Authenticator, Next, Step};
use crate::{
    pin::Permissions,
    profile::Extension,
    state::{ChangeSet, Config, Record},
    status::Status,
    time::Instant,
    wire::config::{Request, SetMinPinLength, Subcommand},
};

impl Authenticator {
    pub(super) fn config(&mut self, now: Instant, request: Request) -> Result<Step, Status> {
        // Without a PIN alwaysUv could be switched on and never off again.
        let toggles = matches!(request.subcommand, Subcommand::ToggleAlwaysUv);
        if self.is_protected() || self.always_uv() && !toggles {
            self.check_management(
                now,
                &request.pin_uv_auth,
                Permissions::ACFG,
                &request.message,
            )?;
        }
        let profile = &self.profile;
        let config = match request.subcommand {
            Subcommand::EnableEnterpriseAttestation if profile.enterprise_attestation.is_some() => {
                Config {
                    enterprise_attestation: true,
                    ..self.state.config.clone()
                }
            }
            Subcommand::EnableLongTouchForReset if profile.long_touch_for_reset.is_some() => {
                Config {
                    long_touch_for_reset: true,
                    ..self.state.config.clone()
                }
            }
            Subcommand::ToggleAlwaysUv if self.profile.always_uv.is_some() => Config {
                always_uv: Some(!self.always_uv()),
                ..self.state.config.clone()
            },
            Subcommand::SetMinPinLength(params) if self.profile.set_min_pin_length => {
                self.set_min_pin_length(params)?
            }
            Subcommand::EnableEnterpriseAttestation
            | Subcommand::ToggleAlwaysUv
            | Subcommand::SetMinPinLength(_)
            | Subcommand::EnableLongTouchForReset
            | Subcommand::Other => return Err(Status::InvalidParameter),
        };
        let mut set = ChangeSet::default();
        set.put(Record::Config(config));
        let response = crate::wire::response(Ok(None));
        Ok(Step::Commit(set, Next::Respond(response)))
    }

    /// §6.11.4 setMinPINLength: rules only become stricter, until a reset.
    fn set_min_pin_length(&self, params: SetMinPinLength) -> Result<Config, Status> {
        let current = self.min_pin_length();
        let wanted = params.new_min_pin_length.unwrap_or(current.into());
        let min_pin_length = u8::try_from(wanted)
            .ok()
            .filter(|length| *length >= current && *length <= self.profile.max_pin_length)
            .ok_or(Status::PinPolicyViolation)?;
        let pin = self.state.pin.as_ref();
        if params.force_change_pin && pin.is_none() {
            return Err(Status::PinNotSet);
        }
        let mut config = self.state.config.clone();
        if let Some(rp_ids) = params.rp_ids {
            if !self.profile.offers(Extension::MinPinLength) {
                return Err(Status::InvalidParameter);
            }
            if rp_ids.len() > usize::from(self.profile.max_rp_ids_for_set_min_pin_length) {
                return Err(Status::KeyStoreFull);
            }
            config.min_pin_length_rp_ids = rp_ids;
        }
        if let Some(wanted) = params.pin_complexity_policy {
            if self.profile.pin_complexity_policy.is_none() {
                return Err(Status::InvalidParameter);
            }
            let begins = wanted && !self.state.pin_complexity_policy(&self.profile);
            // Of the PIN that is set only a hash is there to be judged.
            config.force_pin_change |= begins && pin.is_some();
            config.pin_complexity_policy |= wanted;
        }
        let too_short = pin.is_some_and(|pin| pin.code_points < min_pin_length);
        config.force_pin_change |= params.force_change_pin || too_short;
        config.min_pin_length = Some(min_pin_length);
        Ok(config)
    }
}
