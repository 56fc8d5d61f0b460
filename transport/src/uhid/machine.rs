//! What becomes of the kernel's events, without I/O.

use std::collections::VecDeque;

use crate::{Ended, Event};

use super::codec::{KernelEvent, get_report_refused, set_report_refused};

/// What a driver and programs did with the device so far.
#[derive(Debug, Default)]
pub(super) struct Machine {
    powered: bool,
    open: bool,
    /// At most the three that one event of the kernel can mean.
    events: VecDeque<Event>,
}

impl Machine {
    /// Whether a program has the device open.
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// Takes an event. What it returns has to be written at once: a program waits for it.
    ///
    /// # Errors
    ///
    /// The device is without a driver, and so over.
    pub(super) fn handle(&mut self, event: KernelEvent) -> Result<Option<[u8; 10]>, Ended> {
        match event {
            KernelEvent::Start => self.power_on(),
            KernelEvent::Stop => return Err(Ended::PeerClosed),
            KernelEvent::Open => self.open(),
            KernelEvent::Close => {
                if self.open {
                    self.open = false;
                    self.events.push_back(Event::ReportUnwanted);
                }
            }
            KernelEvent::Output(report) => {
                // Who sends has it open, whatever the kernel dropped before.
                self.open();
                self.events.push_back(Event::Report(report));
            }
            KernelEvent::GetReport(id) => return Ok(Some(get_report_refused(id))),
            KernelEvent::SetReport(id) => return Ok(Some(set_report_refused(id))),
            KernelEvent::Other => {}
        }
        Ok(None)
    }

    /// What the host did, the oldest first.
    pub(super) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn power_on(&mut self) {
        if !self.powered {
            self.powered = true;
            self.events.push_back(Event::PowerOn);
        }
    }

    fn open(&mut self) {
        self.power_on();
        if !self.open {
            self.open = true;
            self.events.push_back(Event::ReportWanted);
        }
    }
}

#[cfg(test)]
mod tests;
