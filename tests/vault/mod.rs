//! The vault on disk: what older versions wrote, what is damaged, what fails.

mod formats;
mod raw;
mod served;
mod size;
mod storm;
mod storm_model;
mod tamper;
