//! authenticatorBioEnrollment (CTAP 2.1 §6.7): fingers for built-in verification.
//!
//! An enrollment is in memory until its last sample is good; then the finger is stored, whole, in
//! one change set. Deliberately absent: a template. What a sample is, and whether it is a good
//! one, a person or a policy says.

use super::{Authenticator, Next, PRESENCE_TIMEOUT_MS, Stateful, Step};
use crate::{
    event::{Gesture, Operation, Prompt},
    pin::Permissions,
    state::TEMPLATE_ID_LEN,
    status::Status,
    time::Instant,
    wire::{
        self,
        bio_enrollment::{FINGERPRINT, Params, Request, Response, SampleStatus, Subcommand},
    },
};
use rand_core::Rng as _;

/// maxCaptureSamplesRequiredForEnroll.
const SAMPLES: u8 = 4;
/// maxTemplateFriendlyName, in bytes.
const MAX_FRIENDLY_NAME_LEN: usize = 64;

/// A finger of which samples are missing.
pub(super) struct Enrollment {
    id: [u8; TEMPLATE_ID_LEN],
    /// remainingSamples.
    remaining: u8,
}

/// A sample that is asked for.
pub(super) struct Sample {
    /// Of which enrollment: another one may have taken its place.
    id: [u8; TEMPLATE_ID_LEN],
    /// Whether it is the first.
    begins: bool,
    /// Whether it is good enough.
    pub(super) good: bool,
    /// timeoutMilliseconds.
    pub(super) patience_ms: u64,
}

impl Authenticator {
    pub(super) fn bio_enrollment(
        &mut self,
        now: Instant,
        request: Request,
    ) -> Result<Step, Status> {
        if request.get_modality {
            return Ok(Step::success(Some(Response::Modality.emit())));
        }
        match request.subcommand.ok_or(Status::MissingParameter)? {
            Subcommand::Other => Err(Status::InvalidSubcommand),
            Subcommand::GetFingerprintSensorInfo => Ok(sensor_info()),
            Subcommand::CancelCurrentEnrollment => {
                self.end_enrollment();
                Ok(Step::success(None))
            }
            Subcommand::EnrollBegin => {
                self.check_enrollment_allowed(now, &request)?;
                self.enroll_begin(&request.params)
            }
            Subcommand::EnrollCaptureNextSample => {
                let id = required(&request, &request.params.template_id)?;
                self.check_enrollment_allowed(now, &request)?;
                self.enroll_next(id, &request.params)
            }
            Subcommand::EnumerateEnrollments => {
                self.check_enrollment_allowed(now, &request)?;
                self.enumerate_enrollments()
            }
            Subcommand::SetFriendlyName => {
                let id = required(&request, &request.params.template_id)?;
                let name = required(&request, &request.params.template_friendly_name)?;
                // §6.7.7 looks at the length before it looks at the token.
                if name.len() > MAX_FRIENDLY_NAME_LEN {
                    return Err(Status::InvalidLength);
                }
                self.check_enrollment_allowed(now, &request)?;
                let set = self.state.name_fingerprint(id, name.clone());
                changed(set)
            }
            Subcommand::RemoveEnrollment => {
                let id = required(&request, &request.params.template_id)?;
                self.check_enrollment_allowed(now, &request)?;
                changed(self.state.remove_fingerprint(id))
            }
        }
    }

    /// What every subcommand that changes or tells something needs: the modality, and a token. A
    /// key that nothing protects has no token to give, and so refuses them all.
    fn check_enrollment_allowed(&mut self, now: Instant, request: &Request) -> Result<(), Status> {
        let modality = required(request, &request.modality)?;
        if *modality != u64::from(FINGERPRINT) {
            return Err(Status::InvalidParameter);
        }
        let auth = &request.pin_uv_auth;
        self.check_management(now, auth, Permissions::BE, &request.message)
    }

    /// §6.7.4 enrollBegin: an enrollment that has begun already is given up.
    fn enroll_begin(&mut self, params: &Params) -> Result<Step, Status> {
        self.check_room_for_finger()?;
        let mut id = [0; TEMPLATE_ID_LEN];
        self.rng.fill_bytes(&mut id);
        let enrollment = Enrollment {
            id,
            remaining: SAMPLES,
        };
        self.stateful = Some((self.client, Stateful::Enrollment(enrollment)));
        Ok(ask_sample(id, true, params))
    }

    /// §6.7.4 enrollCaptureNextSample. The standard does not say what an enrollment that is none
    /// is answered; it is as with a finger that is none.
    fn enroll_next(&mut self, id: &[u8], params: &Params) -> Result<Step, Status> {
        let id = id.try_into().map_err(|_| Status::InvalidOption)?;
        self.enrollment(&id).ok_or(Status::InvalidOption)?;
        self.check_room_for_finger()?;
        Ok(ask_sample(id, false, params))
    }

    fn check_room_for_finger(&self) -> Result<(), Status> {
        if self.state.fingerprints().len() < usize::from(self.profile.max_fingerprints) {
            Ok(())
        } else {
            Err(Status::FpDatabaseFull)
        }
    }

    /// A finger was on the sensor.
    pub(super) fn take_sample(&mut self, sample: &Sample) -> Result<Step, Status> {
        let enrollment = self.enrollment(&sample.id).ok_or(Status::InvalidOption)?;
        let status = if sample.good {
            enrollment.remaining = enrollment.remaining.saturating_sub(1);
            SampleStatus::Good
        } else {
            SampleStatus::PoorQuality
        };
        let remaining = enrollment.remaining;
        let response = sample.response(status, remaining);
        if remaining > 0 {
            return Ok(Step::Respond(response));
        }
        self.end_enrollment();
        // Another client may have enrolled one meanwhile.
        self.check_room_for_finger()?;
        let set = self.state.add_fingerprint(sample.id);
        Ok(Step::Commit(set, Next::Respond(response)))
    }

    /// Nobody has put a finger on the sensor: that is a sample, too.
    pub(super) fn miss_sample(&mut self, sample: &Sample) -> Vec<u8> {
        match self.enrollment(&sample.id) {
            Some(Enrollment { remaining, .. }) => {
                sample.response(SampleStatus::NoUserActivity, *remaining)
            }
            None => wire::response(Err(Status::InvalidOption)),
        }
    }

    fn enumerate_enrollments(&self) -> Result<Step, Status> {
        match self.state.fingerprints() {
            [] => Err(Status::InvalidOption),
            fingers => Ok(Step::success(Some(Response::Templates(fingers).emit()))),
        }
    }

    /// This client's enrollment of that name.
    fn enrollment(&mut self, id: &[u8; TEMPLATE_ID_LEN]) -> Option<&mut Enrollment> {
        match &mut self.stateful {
            Some((client, Stateful::Enrollment(enrollment)))
                if *client == self.client && enrollment.id == *id =>
            {
                Some(enrollment)
            }
            _ => None,
        }
    }

    /// Gives up the enrollment of this client.
    pub(super) fn end_enrollment(&mut self) {
        let client = self.client;
        self.stateful.take_if(|(whose, stateful)| {
            *whose == client && matches!(stateful, Stateful::Enrollment(_))
        });
    }
}

impl Sample {
    fn response(&self, status: SampleStatus, remaining: u8) -> Vec<u8> {
        let response = Response::Sample {
            template_id: self.begins.then_some(self.id),
            status,
            remaining,
        };
        wire::response(Ok(Some(response.emit())))
    }
}

/// A parameter that is mandatory. Without a pinUvAuthParam that is what is answered, whatever else
/// is missing (§6.7.4 to §6.7.8).
fn required<'r, T>(request: &Request, parameter: &'r Option<T>) -> Result<&'r T, Status> {
    if request.pin_uv_auth.param.is_none() {
        return Err(Status::PuatRequired);
    }
    parameter.as_ref().ok_or(Status::MissingParameter)
}

fn sensor_info() -> Step {
    let response = Response::SensorInfo {
        max_samples: SAMPLES,
        max_friendly_name: MAX_FRIENDLY_NAME_LEN,
    };
    Step::success(Some(response.emit()))
}

fn ask_sample(id: [u8; TEMPLATE_ID_LEN], begins: bool, params: &Params) -> Step {
    let prompt = Prompt {
        operation: Operation::Enroll,
        rp_id: None,
        rp_id_hash: None,
        account: None,
        gesture: Gesture::Finger,
    };
    let timeout_ms = params.timeout_ms.unwrap_or(PRESENCE_TIMEOUT_MS);
    let sample = Sample {
        id,
        begins,
        good: false,
        patience_ms: timeout_ms.min(PRESENCE_TIMEOUT_MS),
    };
    Step::AskPresence(prompt, Next::TakeSample(Box::new(sample)))
}

/// The step that makes a change to one finger durable; there is none where there is no such
/// finger.
fn changed(set: Option<crate::state::ChangeSet>) -> Result<Step, Status> {
    let set = set.ok_or(Status::InvalidOption)?;
    Ok(Step::Commit(set, Next::Respond(wire::response(Ok(None)))))
}
