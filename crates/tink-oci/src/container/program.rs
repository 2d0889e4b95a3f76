//! Becoming the program.

use std::convert::Infallible;
use std::ffi::{CString, NulError};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{Gid, execve, setgroups};
use rustix::process::{chdir, umask};
use rustix::thread::{set_thread_res_gid, set_thread_res_uid};

use super::{Environment, User};
use crate::failure::{Doing, FailureKind, StartFailure};
use crate::sys;

/// Becomes the user and executes the program, looked up in the container we are in; returns only to say why it could not.
///
/// `after_user` runs when the user is set, which undoes some of what was set for the process before.
pub(crate) fn run(
    args: &[String],
    cwd: &str,
    user: &User,
    environment: &Environment,
    after_user: impl FnOnce() -> Result<(), StartFailure>,
) -> Result<Infallible, StartFailure> {
    let Some(name) = args.first() else { return Err(StartFailure::setup("no program to run")) };
    // As runc does. A kernel without keys refuses it, and has none to share.
    let _ = sys::join_new_session_keyring();
    chdir(cwd).doing(|| format!("enter the working directory {cwd}"))?;
    umask(rustix::fs::Mode::from_raw_mode(0o022));
    become_user(user)?;
    after_user()?;
    let program = find(name, environment.get("PATH").unwrap_or_default())?;
    let words =
        |words: &[String]| words.iter().map(|word| CString::new(word.as_bytes())).collect::<Result<Vec<_>, NulError>>();
    let nul = |_| StartFailure::setup("an argument or environment value holds a NUL byte");
    let args = words(args).map_err(nul)?;
    let environment = words(environment.pairs()).map_err(nul)?;
    let path = CString::new(program.as_os_str().as_encoded_bytes()).map_err(nul)?;
    let Err(error) = execve(&path, &args, &environment);
    Err(exec_failure(&program, error))
}

fn become_user(user: &User) -> Result<(), StartFailure> {
    let what = || format!("become user {} of group {}", user.uid, user.gid);
    // The first one is among them, as with Docker since CVE-2022-36109: files may deny a group what they grant to others.
    let others = user.groups.iter().copied().filter(|gid| *gid != user.gid);
    let groups: Vec<Gid> = std::iter::once(user.gid).chain(others).map(Gid::from_raw).collect();
    setgroups(&groups).doing(what)?;
    let (uid, gid) = (rustix::process::Uid::from_raw(user.uid), rustix::process::Gid::from_raw(user.gid));
    set_thread_res_gid(gid, gid, gid).doing(what)?;
    set_thread_res_uid(uid, uid, uid).doing(what)
}

/// Where the program is: as it is named if that holds a slash, else the first executable file of that name in the path.
fn find(name: &str, path: &str) -> Result<PathBuf, StartFailure> {
    if name.contains('/') {
        return Ok(PathBuf::from(name));
    }
    let mut not_executable = None;
    for dir in path.split(':') {
        let candidate = Path::new(if dir.is_empty() { "." } else { dir }).join(name);
        let Ok(meta) = std::fs::metadata(&candidate) else { continue };
        if meta.is_file() && meta.permissions().mode() & 0o111 != 0 {
            return Ok(candidate);
        }
        not_executable.get_or_insert(candidate);
    }
    match not_executable {
        Some(candidate) => Err(exec_failure(&candidate, Errno::EACCES)),
        None => Err(StartFailure {
            kind: FailureKind::NoSuchProgram,
            message: format!("no such program {name:?} in the image: not found in its PATH, {path}"),
            cause: None,
        }),
    }
}

fn exec_failure(program: &Path, error: Errno) -> StartFailure {
    let exists = program.exists();
    let (kind, why) = match error {
        Errno::ENOENT if exists => (
            FailureKind::NotExecutable,
            "the interpreter it names (in its first line, or its dynamic loader) is not in the image",
        ),
        Errno::ENOENT | Errno::ENOTDIR => {
            let message = format!("no such program {} in the image", program.display());
            return StartFailure::with(FailureKind::NoSuchProgram, message, &error.into());
        }
        Errno::ENOEXEC => {
            (FailureKind::NotExecutable, "it is built for another machine, or a script without a first #! line")
        }
        Errno::EACCES if program.is_dir() => (FailureKind::NotExecutable, "it is a directory"),
        Errno::EACCES => (FailureKind::NotExecutable, "it is not executable for this user"),
        _ => (FailureKind::Setup, "the kernel refused"),
    };
    StartFailure::with(kind, format!("failed to run {}: {why}", program.display()), &error.into())
}
