//! Compiles the trivial action, which is a program of its own.

use std::path::Path;
use std::process::Command;

const SOURCE: &str = "fixtures/trivial.rs";

fn main() {
    println!("cargo::rerun-if-changed={SOURCE}");
    let [rustc, target, out] =
        ["RUSTC", "TARGET", "OUT_DIR"].map(|name| std::env::var_os(name).unwrap_or_else(|| panic!("no {name}")));
    let mut command = Command::new(rustc);
    command.args(["--edition", "2024", "--crate-type", "bin", "-C", "opt-level=2", "-C", "panic=abort"]);
    command.args(["-C", "relocation-model=static", "-C", "target-feature=+crt-static", "-C", "strip=symbols"]);
    command.args(["-C", "link-arg=-nostartfiles", "-C", "link-arg=-nostdlib"]);
    command.arg("--target").arg(target).arg("-o").arg(Path::new(&out).join("trivial")).arg(SOURCE);
    let status = command.status();
    assert!(status.as_ref().is_ok_and(|status| status.success()), "{command:?}: {status:?}");
}
