//! authenticatorBioEnrollment, 0x09, and its preview, 0x40 (CTAP 2.1 §6.7).

use ciborium::Value;

use super::{PinUvAuth, cbor};
use crate::{
    state::{Fingerprint, TEMPLATE_ID_LEN},
    status::Status,
};

/// Modality fingerprint, the only one that there is (§6.7.1).
pub(crate) const FINGERPRINT: u8 = 0x01;
/// fingerprintKind of a sensor that is touched, not swiped (§6.7.3).
const TOUCH: u8 = 0x01;

/// A subcommand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subcommand {
    EnrollBegin,
    EnrollCaptureNextSample,
    CancelCurrentEnrollment,
    EnumerateEnrollments,
    SetFriendlyName,
    RemoveEnrollment,
    GetFingerprintSensorInfo,
    /// One that does not exist.
    Other,
}

impl Subcommand {
    const fn from_number(number: u64) -> Self {
        match number {
            0x01 => Self::EnrollBegin,
            0x02 => Self::EnrollCaptureNextSample,
            0x03 => Self::CancelCurrentEnrollment,
            0x04 => Self::EnumerateEnrollments,
            0x05 => Self::SetFriendlyName,
            0x06 => Self::RemoveEnrollment,
            0x07 => Self::GetFingerprintSensorInfo,
            _ => Self::Other,
        }
    }
}

/// The parameters; which of them a subcommand needs is not looked at here.
pub(crate) struct Request {
    pub(crate) modality: Option<u64>,
    pub(crate) subcommand: Option<Subcommand>,
    pub(crate) params: Params,
    pub(crate) pin_uv_auth: PinUvAuth,
    pub(crate) get_modality: bool,
    /// What pinUvAuthParam authenticates: modality, subcommand and its parameters as they came.
    pub(crate) message: Vec<u8>,
}

/// subCommandParams.
#[derive(Default)]
pub(crate) struct Params {
    pub(crate) template_id: Option<Vec<u8>>,
    pub(crate) template_friendly_name: Option<String>,
    pub(crate) timeout_ms: Option<u64>,
}

impl Request {
    pub(super) fn parse(parameters: &[u8]) -> Result<Self, Status> {
        let mut members = cbor::Members::parse(parameters)?;
        let modality = members.optional(0x01, cbor::unsigned)?;
        let subcommand = members.optional(0x02, cbor::unsigned)?;
        let params = members.optional(0x03, Ok)?;
        // Canonical as they came, they are encoded to the same bytes. A number that has no byte
        // is of a modality or a subcommand that is refused.
        let mut message = Vec::new();
        let numbers = modality.into_iter().chain(subcommand);
        message.extend(numbers.map(|number| u8::try_from(number).unwrap_or_default()));
        message.extend(params.as_ref().map(cbor::emit).unwrap_or_default());
        Ok(Self {
            modality,
            subcommand: subcommand.map(Subcommand::from_number),
            params: params
                .map(Params::from_value)
                .transpose()?
                .unwrap_or_default(),
            pin_uv_auth: PinUvAuth {
                protocol: members.optional(0x04, cbor::unsigned)?,
                param: members.optional(0x05, cbor::bytes)?,
            },
            get_modality: members.optional(0x06, cbor::boolean)?.unwrap_or_default(),
            message,
        })
    }
}

impl Params {
    fn from_value(value: Value) -> Result<Self, Status> {
        let mut members = cbor::Members::from_value(value)?;
        Ok(Self {
            template_id: members.optional(0x01, cbor::bytes)?,
            template_friendly_name: members.optional(0x02, cbor::text)?,
            timeout_ms: members.optional(0x03, cbor::unsigned)?,
        })
    }
}

/// lastEnrollSampleStatus (§6.7.4), those that a simulated sensor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum SampleStatus {
    /// CTAP2_ENROLL_FEEDBACK_FP_GOOD.
    Good = 0x00,
    /// CTAP2_ENROLL_FEEDBACK_FP_POOR_QUALITY.
    PoorQuality = 0x07,
    /// CTAP2_ENROLL_FEEDBACK_NO_USER_ACTIVITY.
    NoUserActivity = 0x0d,
}

/// What the platform gets.
pub(crate) enum Response<'a> {
    Modality,
    SensorInfo {
        max_samples: u8,
        max_friendly_name: usize,
    },
    Sample {
        /// Of an enrollment that begins.
        template_id: Option<[u8; TEMPLATE_ID_LEN]>,
        status: SampleStatus,
        remaining: u8,
    },
    Templates(&'a [Fingerprint]),
}

impl Response<'_> {
    pub(crate) fn emit(self) -> Vec<u8> {
        let members: Vec<(i64, Value)> = match self {
            Self::Modality => vec![(0x01, Value::from(FINGERPRINT))],
            Self::SensorInfo {
                max_samples,
                max_friendly_name,
            } => vec![
                (0x02, Value::from(TOUCH)),
                (0x03, Value::from(max_samples)),
                (0x08, Value::from(max_friendly_name as u64)),
            ],
            Self::Sample {
                template_id,
                status,
                remaining,
            } => {
                let mut members = Vec::new();
                members.extend(template_id.map(|id| (0x04, Value::Bytes(id.to_vec()))));
                members.push((0x05, Value::from(status as u8)));
                members.push((0x06, Value::from(remaining)));
                members
            }
            Self::Templates(templates) => {
                let infos = templates.iter().map(template_info);
                vec![(0x07, Value::Array(infos.collect()))]
            }
        };
        let members = members.into_iter();
        cbor::emit(&Value::Map(
            members.map(|(key, value)| (key.into(), value)).collect(),
        ))
    }
}

/// templateInfo: 0x01 templateId and 0x02 templateFriendlyName. The name is optional there, and
/// python-fido2 wants one all the same.
fn template_info(template: &Fingerprint) -> Value {
    let id = (Value::from(0x01), Value::Bytes(template.id.to_vec()));
    let name = template.name.clone().unwrap_or_default();
    let name = (Value::from(0x02), Value::from(name));
    Value::Map(vec![id, name])
}
