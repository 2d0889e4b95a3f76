//! `tink-server`.

use std::process::ExitCode;

fn main() -> ExitCode {
    tink_server::program::run(std::env::args_os())
}
