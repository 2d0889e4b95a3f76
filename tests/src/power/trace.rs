//! From strace's log to operations on files below one directory.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// One call that changed something, and when it had returned.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) at: Duration,
    pub(super) what: What,
}

/// Paths are relative to the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A file is made, or emptied where it was there.
    Create {
        path: PathBuf,
        truncate: bool,
    },
    MakeDir {
        path: PathBuf,
    },
    /// At an offset, or at the end.
    Write {
        path: PathBuf,
        at: Option<u64>,
        bytes: Vec<u8>,
    },
    Truncate {
        path: PathBuf,
        length: u64,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Remove {
        path: PathBuf,
    },
    Sync {
        path: PathBuf,
    },
}

impl Operation {
    pub(super) fn is_sync(&self) -> bool {
        matches!(self.what, What::Sync { .. })
    }

    pub(super) fn is_removal(&self) -> bool {
        matches!(self.what, What::Remove { .. })
    }
}

/// Reads a log of `strace -f -ttt -y -xx`.
pub(super) fn parse(log: &str, root: &Path) -> Result<Vec<Operation>> {
    let mut begun: HashMap<&str, String> = HashMap::new();
    let mut operations = Vec::new();
    for line in log.lines() {
        let Some((pid, rest)) = line.split_once(' ') else { continue };
        let Some((time, call)) = rest.trim_start().split_once(' ') else { continue };
        // A call that another thread's one came between is told in two lines; it counts when it returns.
        let call = if let Some(start) = call.strip_suffix(" <unfinished ...>") {
            begun.insert(pid, start.to_owned());
            continue;
        } else if let Some((_, end)) = call.strip_prefix("<... ").and_then(|call| call.split_once(" resumed>")) {
            let Some(start) = begun.remove(pid) else { continue };
            start + end
        } else {
            call.to_owned()
        };
        let at = Duration::try_from_secs_f64(time.parse().with_context(|| format!("no time in {line:.80}"))?)?;
        if let Some(what) = read_call(&call, root).with_context(|| format!("failed to read {call:.200}"))? {
            operations.push(Operation { at, what });
        }
    }
    Ok(operations)
}

fn read_call(call: &str, root: &Path) -> Result<Option<What>> {
    let Some((name, rest)) = call.split_once('(') else { return Ok(None) };
    let Some((arguments, result)) = rest.rsplit_once(" = ") else { return Ok(None) };
    if result.starts_with('-') || result.starts_with('?') {
        return Ok(None);
    }
    let arguments = arguments.trim_end().strip_suffix(')').context("no end of the arguments")?;
    let arguments: Vec<&str> = arguments.split(", ").collect();
    let argument = |nth: usize| arguments.get(nth).copied().context("too few arguments");
    let below = |path: PathBuf| path.strip_prefix(root).ok().map(Path::to_path_buf);
    Ok(match name {
        "openat" => {
            let flags = argument(2)?;
            let path = below(at(argument(0)?, argument(1)?)?);
            let is_new = flags.contains("O_CREAT") || flags.contains("O_TRUNC");
            path.filter(|_| is_new).map(|path| What::Create { path, truncate: flags.contains("O_TRUNC") })
        }
        "write" | "pwrite64" => {
            let Some(path) = below(of_descriptor(argument(0)?)?) else { return Ok(None) };
            let mut bytes = unhex(argument(1)?)?;
            bytes.truncate(result.split(' ').next().unwrap_or_default().parse()?);
            let at = if name == "write" { None } else { Some(argument(3)?.parse()?) };
            Some(What::Write { path, at, bytes })
        }
        "writev" | "pwritev" => match below(of_descriptor(argument(0)?)?) {
            Some(path) => bail!("{name} on {} is not understood", path.display()),
            None => None,
        },
        "ftruncate" => {
            let length = argument(1)?.parse()?;
            below(of_descriptor(argument(0)?)?).map(|path| What::Truncate { path, length })
        }
        "fsync" | "fdatasync" => below(of_descriptor(argument(0)?)?).map(|path| What::Sync { path }),
        "mkdir" => below(absolute(unhex(argument(0)?)?)?).map(|path| What::MakeDir { path }),
        "mkdirat" => below(at(argument(0)?, argument(1)?)?).map(|path| What::MakeDir { path }),
        "unlink" | "rmdir" => below(absolute(unhex(argument(0)?)?)?).map(|path| What::Remove { path }),
        "unlinkat" => below(at(argument(0)?, argument(1)?)?).map(|path| What::Remove { path }),
        "rename" => renamed(below, absolute(unhex(argument(0)?)?)?, absolute(unhex(argument(1)?)?)?)?,
        "renameat" | "renameat2" => renamed(below, at(argument(0)?, argument(1)?)?, at(argument(2)?, argument(3)?)?)?,
        _ => None,
    })
}

fn renamed(below: impl Fn(PathBuf) -> Option<PathBuf>, from: PathBuf, to: PathBuf) -> Result<Option<What>> {
    match (below(from.clone()), below(to.clone())) {
        (Some(from), Some(to)) => Ok(Some(What::Rename { from, to })),
        (None, None) => Ok(None),
        _ => bail!("a rename across the root: {} to {}", from.display(), to.display()),
    }
}

/// A path and the directory that it is relative to.
fn at(directory: &str, path: &str) -> Result<PathBuf> {
    Ok(normal(&of_descriptor(directory)?.join(as_path(unhex(path)?)?)))
}

fn absolute(path: Vec<u8>) -> Result<PathBuf> {
    Ok(normal(&as_path(path)?))
}

fn as_path(bytes: Vec<u8>) -> Result<PathBuf> {
    String::from_utf8(bytes).map(PathBuf::from).context("a path that is not UTF-8")
}

fn normal(path: &Path) -> PathBuf {
    path.components().filter(|component| *component != Component::CurDir).collect()
}

/// `3<\x2f…>` → `/…`.
fn of_descriptor(text: &str) -> Result<PathBuf> {
    let Some((_, rest)) = text.split_once('<') else { return Ok(PathBuf::new()) };
    let hex = rest.split('>').next().unwrap_or_default();
    // What is no file (`socket:[7]`, `pipe:[8]`) is not in hexadecimal and is below no directory.
    if hex.starts_with("\\x") { as_path(bytes_of(hex)?) } else { Ok(PathBuf::new()) }
}

/// `"\x41\x42"` → `AB`.
fn unhex(text: &str) -> Result<Vec<u8>> {
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    bytes_of(inner.with_context(|| format!("not a whole string: {text:.60}"))?)
}

fn bytes_of(hex: &str) -> Result<Vec<u8>> {
    let digits = hex.split("\\x").skip(1);
    digits
        .map(|digits| u8::from_str_radix(digits, 16).with_context(|| format!("not hexadecimal: {digits:.20}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> String {
        text.bytes().map(|byte| format!("\\x{byte:02x}")).collect()
    }

    #[test]
    fn calls_of_two_threads_are_put_together_and_others_left_out() {
        let (file, other) = (hex("/r/a b"), hex("/elsewhere"));
        let log = format!(
            "7 100.5 openat(AT_FDCWD<{cwd}>, \"{name}\", O_WRONLY|O_CREAT|O_TRUNC, 0600) = 3<{file}>\n\
             7 100.6 write(3<{file}>, \"{hello}\", 5 <unfinished ...>\n\
             8 100.7 write(4<{other}>, \"{hello}\", 5) = 5\n\
             7 100.8 <... write resumed>)             = 4\n\
             7 100.9 fdatasync(3<{file}>)             = 0\n\
             7 101.0 fsync(5<socket:[9]>) = -1 EINVAL (Invalid argument)\n\
             7 101.1 rename(\"{file}\", \"{to}\") = 0\n\
             7 101.2 pwrite64(3<{to}>, \"{hello}\", 5, 8192) = 5\n",
            cwd = hex("/r"),
            name = hex("./a b"),
            hello = hex("hello"),
            to = hex("/r/c")
        );
        let operations: Vec<_> = parse(&log, Path::new("/r")).unwrap().into_iter().map(|one| one.what).collect();
        let path = PathBuf::from("a b");
        let expected = [
            What::Create { path: path.clone(), truncate: true },
            What::Write { path: path.clone(), at: None, bytes: b"hell".to_vec() },
            What::Sync { path: path.clone() },
            What::Rename { from: path, to: PathBuf::from("c") },
            What::Write { path: PathBuf::from("c"), at: Some(8192), bytes: b"hello".to_vec() },
        ];
        assert_eq!(operations, expected);
    }
}
