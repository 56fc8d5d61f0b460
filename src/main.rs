//! The `roamkey` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    roamkey::cli::run(roamkey::cli::parse())
}
