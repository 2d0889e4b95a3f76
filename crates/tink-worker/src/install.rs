//! `tink-worker init` and `tink-worker install`: for those who build an operating system around the worker.

mod texts;

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use texts::Kind;

const HELP: &str = "\
Puts the worker into an operating system image, where it is configured by the kernel command line.

  tink-worker init KIND [-- FLAGS]
        print what starts the worker under KIND: systemd, openrc, inittab, rcs or linuxkit
  tink-worker install [--root DIR] [--init KIND] [-- FLAGS]
        copy this binary to DIR/usr/bin/tink-worker and write, and enable, what starts it; DIR is / if absent, KIND
        is found out from what DIR holds

FLAGS go to the worker; without any they are -from-cmdline. See tink-worker --help.
";

/// Why nothing was installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The arguments.
    #[error("{reason}; `tink-worker install --help` says more")]
    Usage {
        /// What is wrong with them.
        reason: String,
    },
    /// A file.
    #[error("failed to write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// This program.
    #[error("failed to find this program's own file")]
    Program {
        /// Why.
        source: io::Error,
    },
}

/// Carries out `init` or `install` where the first argument is one of them; the text to print.
#[must_use]
pub fn run_if_asked(args: &[String]) -> Option<Result<String, InstallError>> {
    let (command, rest) = args.split_first()?;
    match command.as_str() {
        "init" => Some(Request::parse(rest, true).and_then(|request| request.print())),
        "install" => Some(Request::parse(rest, false).and_then(|request| request.install())),
        _ => None,
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Request {
    help: bool,
    root: PathBuf,
    kind: Option<Kind>,
    flags: Vec<String>,
}

fn usage(reason: impl Into<String>) -> InstallError {
    InstallError::Usage { reason: reason.into() }
}

fn write_error(path: &Path) -> impl FnOnce(io::Error) -> InstallError + '_ {
    |source| InstallError::Write { path: path.to_owned(), source }
}

impl Request {
    fn parse(args: &[String], print: bool) -> Result<Self, InstallError> {
        let mut request = Self { help: false, root: PathBuf::from("/"), kind: None, flags: Vec::new() };
        let mut args = args.iter();
        while let Some(word) = args.next() {
            let (name, inline) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (word.as_str(), None),
            };
            let mut value = || {
                inline.clone().or_else(|| args.next().cloned()).ok_or_else(|| usage(format!("{name} needs a value")))
            };
            match name.trim_start_matches('-') {
                "" if word == "--" => {
                    request.flags = args.cloned().collect();
                    break;
                }
                "help" | "h" => request.help = true,
                "root" if !print => request.root = PathBuf::from(value()?),
                "init" if !print => request.kind = Some(Kind::parse(&value()?).map_err(usage)?),
                kind if print && request.kind.is_none() => request.kind = Some(Kind::parse(kind).map_err(usage)?),
                _ => return Err(usage(format!("{word:?} is not understood"))),
            }
        }
        if request.flags.is_empty() {
            request.flags = vec!["-from-cmdline".to_owned()];
        }
        Ok(request)
    }

    fn print(self) -> Result<String, InstallError> {
        match self.kind {
            _ if self.help => Ok(HELP.to_owned()),
            Some(kind) => Ok(kind.text(&self.flags)),
            None => Err(usage("no kind is given; systemd, openrc, inittab, rcs and linuxkit are")),
        }
    }

    fn install(self) -> Result<String, InstallError> {
        if self.help {
            return Ok(HELP.to_owned());
        }
        let kind = match self.kind {
            Some(kind) => kind,
            None => Kind::of(&self.root).ok_or_else(|| {
                usage(format!(
                    "{} holds neither systemd, OpenRC, an inittab nor an rcS; say --init",
                    self.root.display()
                ))
            })?,
        };
        let Some(file) = kind.file() else {
            return Err(usage("LinuxKit is built from a YAML file: `tink-worker init linuxkit` prints what to add"));
        };
        let mut said = String::new();
        let program = self.root.join("usr/bin/tink-worker");
        let own = std::env::current_exe().map_err(|source| InstallError::Program { source })?;
        copy_program(&own, &program)?;
        said.push_str(&format!("{}\n", program.display()));
        let path = self.root.join(file);
        if kind.is_part_of_a_file() {
            append(&path, &kind.text(&self.flags))?;
        } else {
            write(&path, kind.text(&self.flags).as_bytes(), kind.mode())?;
        }
        said.push_str(&format!("{}\n", path.display()));
        if let Some((link, to)) = kind.link() {
            let link = self.root.join(link);
            enable(&link, to)?;
            said.push_str(&format!("{} -> {to}\n", link.display()));
        }
        Ok(said)
    }
}

/// In place at once: the file that is replaced may be running.
fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), InstallError> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(parent).map_err(write_error(parent))?;
    let mut partial = path.as_os_str().to_owned();
    partial.push(".new");
    let partial = PathBuf::from(partial);
    fs::write(&partial, bytes).map_err(write_error(&partial))?;
    fs::set_permissions(&partial, fs::Permissions::from_mode(mode)).map_err(write_error(&partial))?;
    fs::rename(&partial, path).map_err(write_error(path))
}

fn copy_program(own: &Path, program: &Path) -> Result<(), InstallError> {
    let bytes = fs::read(own).map_err(|source| InstallError::Program { source })?;
    write(program, &bytes, 0o755)
}

/// Adds lines to a file that others have lines in, unless it starts the worker already.
fn append(path: &Path, lines: &str) -> Result<(), InstallError> {
    let (old, mode) = match fs::read_to_string(path) {
        Ok(old) => (old, fs::metadata(path).map_or(0o644, |metadata| metadata.permissions().mode() & 0o7777)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => (String::new(), 0o755),
        Err(source) => return Err(InstallError::Write { path: path.to_owned(), source }),
    };
    if old.contains("tink-worker") {
        return Ok(());
    }
    let gap = if old.is_empty() || old.ends_with('\n') { "" } else { "\n" };
    write(path, format!("{old}{gap}{lines}").as_bytes(), mode)
}

fn enable(link: &Path, to: &str) -> Result<(), InstallError> {
    let parent = link.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(parent).map_err(write_error(parent))?;
    match symlink(to, link) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other.map_err(write_error(link)),
    }
}

#[cfg(test)]
mod tests;
