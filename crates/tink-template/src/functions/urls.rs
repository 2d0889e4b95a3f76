//! Sprig: `urlParse` and `urlJoin`.

use std::collections::BTreeMap;

use super::args::{made, map, text};
use super::{Function, Param, Returned, fixed};
use crate::exec::{Context, Fault};
use crate::value::{GoStr, Map, Value};

use Param::{Map as AMap, Str};

pub(super) const TABLE: &[Function] = &[fixed("urlParse", &[Str], url_parse), fixed("urlJoin", &[AMap], url_join)];

/// The part of a URL that text stands in; each has characters of its own that need no escape.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    User,
    Host,
    Path,
    Fragment,
}

impl Part {
    fn escapes(self, byte: u8) -> bool {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            return false;
        }
        match self {
            Self::Host => !b"!$&'()*+,;=:[]<>\"".contains(&byte),
            Self::User => !b"$&+,;=".contains(&byte),
            Self::Path => !b"$&+,/:;=@".contains(&byte),
            Self::Fragment => !b"$&+,/:;=?@!()*".contains(&byte),
        }
    }

    fn escape(self, text: &[u8]) -> String {
        let mut out = String::with_capacity(text.len());
        for byte in text {
            if self.escapes(*byte) {
                out.push_str(&format!("%{byte:02X}"));
            } else {
                out.push(char::from(*byte));
            }
        }
        out
    }

    fn unescape(self, text: &str) -> Result<Vec<u8>, Fault> {
        let mut out = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let Some((byte, after)) = rest.split_first() {
            rest = after;
            if *byte != b'%' {
                if self == Self::Host && byte.is_ascii() && self.escapes(*byte) {
                    return Err(Fault::new(format!("the host name holds {:?}", char::from(*byte))));
                }
                out.push(*byte);
                continue;
            }
            let digits = rest.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
            let value = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
            let value = value.ok_or_else(|| Fault::new(format!("{text:?} holds an invalid % escape")))?;
            if self == Self::Host && value < 0x80 {
                return Err(Fault::new("the host name holds a % escape"));
            }
            out.push(value);
            rest = rest.get(2..).unwrap_or_default();
        }
        Ok(out)
    }
}

#[derive(Default)]
struct Url {
    scheme: String,
    opaque: String,
    user: Option<(Vec<u8>, Option<Vec<u8>>)>,
    host: Vec<u8>,
    path: Vec<u8>,
    query: String,
    fragment: Vec<u8>,
}

fn url_parse(_: &Context, args: &[Value]) -> Returned {
    let url = parse(&text(args, 0)?)?;
    let user = url.user.as_ref().map(user_text).unwrap_or_default();
    let hostname = hostname(&url.host).to_vec();
    let entries: BTreeMap<GoStr, Value> = [
        ("scheme", Value::str(url.scheme)),
        ("host", Value::str(url.host)),
        ("hostname", Value::str(hostname)),
        ("path", Value::str(url.path)),
        ("query", Value::str(url.query)),
        ("opaque", Value::str(url.opaque)),
        ("fragment", Value::str(url.fragment)),
        ("userinfo", Value::str(user)),
    ]
    .into_iter()
    .map(|(key, value)| (GoStr::from(key), value))
    .collect();
    Ok(Value::Map(Map::new(entries)))
}

fn user_text((name, password): &(Vec<u8>, Option<Vec<u8>>)) -> String {
    let mut out = Part::User.escape(name);
    if let Some(password) = password {
        out.push(':');
        out.push_str(&Part::User.escape(password));
    }
    out
}

/// The host without port and brackets.
fn hostname(host: &[u8]) -> &[u8] {
    if host.first() == Some(&b'[') {
        let end = host.iter().position(|byte| *byte == b']').unwrap_or(host.len());
        return host.get(1..end).unwrap_or(host);
    }
    let end = host.iter().rposition(|byte| *byte == b':').unwrap_or(host.len());
    host.get(..end).unwrap_or(host)
}

fn parse(raw: &str) -> Result<Url, Fault> {
    if raw.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
        return Err(Fault::new("the URL holds a control character"));
    }
    let mut url = Url::default();
    let (rest, fragment) = raw.split_once('#').unwrap_or((raw, ""));
    url.fragment = Part::Fragment.unescape(fragment)?;
    let (scheme, rest) = split_scheme(rest)?;
    url.scheme = scheme.to_ascii_lowercase();
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    url.query = query.to_owned();
    if !rest.starts_with('/') {
        if !url.scheme.is_empty() {
            url.opaque = rest.to_owned();
            return Ok(url);
        }
        if rest.split('/').next().is_some_and(|first| first.contains(':')) {
            return Err(Fault::new("the first part of a path without scheme cannot hold a colon"));
        }
    }
    let has_authority = rest.starts_with("//") && (!url.scheme.is_empty() || !rest.starts_with("///"));
    let path = if has_authority {
        let rest = rest.get(2..).unwrap_or_default();
        let end = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        parse_authority(authority, &mut url)?;
        path
    } else {
        rest
    };
    url.path = Part::Path.unescape(path)?;
    Ok(url)
}

fn split_scheme(raw: &str) -> Result<(&str, &str), Fault> {
    for (at, c) in raw.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if at > 0 => {}
            ':' if at == 0 => return Err(Fault::new("the URL begins with a colon; the scheme is missing")),
            ':' => return Ok((raw.get(..at).unwrap_or_default(), raw.get(at + 1..).unwrap_or_default())),
            _ => break,
        }
    }
    Ok(("", raw))
}

fn parse_authority(authority: &str, url: &mut Url) -> Result<(), Fault> {
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    if let Some(user) = user {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&byte);
        if !user.bytes().all(fits) {
            return Err(Fault::new("the user information of the URL holds a character that it cannot"));
        }
        url.user = Some(match user.split_once(':') {
            Some((name, password)) => (Part::User.unescape(name)?, Some(Part::User.unescape(password)?)),
            None => (Part::User.unescape(user)?, None),
        });
    }
    let port = match host.rfind(']') {
        Some(end) if host.starts_with('[') => host.get(end + 1..).unwrap_or_default(),
        None if host.starts_with('[') => return Err(Fault::new("the host's bracket is not closed")),
        _ => host.rfind(':').and_then(|colon| host.get(colon..)).unwrap_or_default(),
    };
    let digits = port.strip_prefix(':').unwrap_or(if port.is_empty() { "" } else { "x" });
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Fault::new(format!("the port {port:?} is not a number")));
    }
    url.host = Part::Host.unescape(host)?;
    Ok(())
}

/// An entry as text: absent is empty, anything but a string is an error.
fn entry(map: &Map, key: &str) -> Result<Vec<u8>, Fault> {
    match map.get_str(key) {
        None => Ok(Vec::new()),
        Some(Value::Str(text)) => Ok(text.as_bytes().to_vec()),
        Some(other) => {
            Err(Fault::new(format!("the entry {key} must be a string, but is of type {}", other.type_name())))
        }
    }
}

fn url_join(context: &Context, args: &[Value]) -> Returned {
    let map = map(args, 0)?;
    let lossy = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let mut url = Url {
        scheme: lossy(entry(map, "scheme")?),
        host: entry(map, "host")?,
        path: entry(map, "path")?,
        query: lossy(entry(map, "query")?),
        opaque: lossy(entry(map, "opaque")?),
        fragment: entry(map, "fragment")?,
        user: None,
    };
    let user = lossy(entry(map, "userinfo")?);
    if !user.is_empty() {
        url.user = parse(&format!("proto://{user}@host"))?.user;
    }
    made(context, join(&url))
}

fn join(url: &Url) -> String {
    let mut out = String::new();
    if !url.scheme.is_empty() {
        out.push_str(&url.scheme);
        out.push(':');
    }
    if url.opaque.is_empty() {
        let has_authority = !url.scheme.is_empty() || !url.host.is_empty() || url.user.is_some();
        if has_authority && (!url.host.is_empty() || !url.path.is_empty() || url.user.is_some()) {
            out.push_str("//");
            if let Some(user) = &url.user {
                out.push_str(&user_text(user));
                out.push('@');
            }
            out.push_str(&Part::Host.escape(&url.host));
        }
        let path = if url.path == b"*" { "*".to_owned() } else { Part::Path.escape(&url.path) };
        if !path.is_empty() && !path.starts_with('/') && !url.host.is_empty() {
            out.push('/');
        }
        if out.is_empty() && path.split('/').next().is_some_and(|first| first.contains(':')) {
            out.push_str("./");
        }
        out.push_str(&path);
    } else {
        out.push_str(&url.opaque);
    }
    if !url.query.is_empty() {
        out.push('?');
        out.push_str(&url.query);
    }
    if !url.fragment.is_empty() {
        out.push('#');
        out.push_str(&Part::Fragment.escape(&url.fragment));
    }
    out
}
