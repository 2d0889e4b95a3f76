//! Sprig: base64 and base32, checksums and passwords.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256, Sha512};

use super::args::{bytes, made, text};
use super::{Function, Param, Returned, fixed};
use crate::exec::{Context, Fault};
use crate::value::Value;

use Param::Str;

pub(super) const TABLE: &[Function] = &[
    fixed("b64enc", &[Str], |context, args| made(context, STANDARD.encode(bytes(args, 0)?))),
    fixed("b64dec", &[Str], |context, args| match base64_decode(bytes(args, 0)?) {
        Ok(bytes) => made(context, bytes),
        // compat: the error becomes the text.
        Err(at) => made(context, format!("illegal base64 data at input byte {at}")),
    }),
    fixed("b32enc", &[Str], |context, args| made(context, base32_encode(bytes(args, 0)?))),
    fixed("b32dec", &[Str], |context, args| match base32_decode(bytes(args, 0)?) {
        Ok(bytes) => made(context, bytes),
        Err(at) => made(context, format!("illegal base32 data at input byte {at}")),
    }),
    fixed("sha1sum", &[Str], |context, args| hashed(context, args, |all| hex(&sha1::Sha1::digest(all)))),
    fixed("sha256sum", &[Str], |context, args| hashed(context, args, |all| hex(&Sha256::digest(all)))),
    fixed("sha512sum", &[Str], |context, args| hashed(context, args, |all| hex(&Sha512::digest(all)))),
    fixed("adler32sum", &[Str], |context, args| hashed(context, args, |all| adler32(all).to_string())),
    fixed("bcrypt", &[Str], |context, args| made(context, bcrypted(context, bytes(args, 0)?)?)),
    fixed("htpasswd", &[Str, Str], |context, args| {
        let user = text(args, 0)?;
        if user.contains(':') {
            return made(context, format!("invalid username: {user}"));
        }
        made(context, format!("{user}:{}", bcrypted(context, bytes(args, 1)?)?))
    }),
];

fn hashed(context: &Context, args: &[Value], hash: fn(&[u8]) -> String) -> Returned {
    let all = bytes(args, 0)?;
    context.work(u64::try_from(16 + all.len() / 8).unwrap_or(u64::MAX))?;
    made(context, hash(all))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn adler32(all: &[u8]) -> u32 {
    let (mut a, mut b) = (1u32, 0u32);
    for byte in all {
        a = (a + u32::from(*byte)) % 65521;
        b = (b + a) % 65521;
    }
    (b << 16) | a
}

/// The hash of a password, with bcrypt's default cost in Go.
fn bcrypted(context: &Context, password: &[u8]) -> Result<String, Fault> {
    // About 50 ms.
    context.work(100_000)?;
    if password.len() > 72 {
        return Ok("failed to encrypt string with bcrypt: bcrypt: password length exceeds 72 bytes".to_owned());
    }
    let mut salt = [0; 16];
    super::random::fill(&mut salt)?;
    let parts = bcrypt::hash_with_salt(password, 10, salt)
        .map_err(|fault| Fault::new(format!("cannot hash the password: {fault}")))?;
    Ok(parts.format_for_version(bcrypt::Version::TwoA))
}

/// Go's decoder: line breaks are skipped; the error is the offset of the first bad byte.
pub(super) fn base64_decode(all: &[u8]) -> Result<Vec<u8>, usize> {
    let kept: Vec<(usize, u8)> =
        all.iter().copied().enumerate().filter(|(_, byte)| !matches!(byte, b'\r' | b'\n')).collect();
    let mut out = Vec::with_capacity(kept.len() / 4 * 3);
    for (n, group) in kept.chunks(4).enumerate() {
        let last = (n + 1) * 4 >= kept.len();
        let at = |i: usize| group.get(i).map_or(all.len(), |(at, _)| *at);
        let mut sextets = Vec::with_capacity(4);
        for (i, (at, byte)) in group.iter().enumerate() {
            match sextet(*byte) {
                Some(sextet) => sextets.push(u32::from(sextet)),
                None if *byte == b'=' && i >= 2 => break,
                None => return Err(*at),
            }
        }
        let padding = group.len() - sextets.len();
        if group.len() < 4 {
            return Err(if padding > 0 { all.len() } else { all.len() - group.len() });
        }
        if padding == 2 && group.get(3).is_none_or(|(_, byte)| *byte != b'=') {
            return Err(at(3) - 1);
        }
        if padding > 0 && !last {
            return Err(kept.get((n + 1) * 4).map_or(all.len(), |(at, _)| *at));
        }
        let bits = (0..4).fold(0u32, |bits, i| bits << 6 | sextets.get(i).copied().unwrap_or_default());
        out.extend_from_slice(bits.to_be_bytes().get(1..4 - padding).unwrap_or_default());
    }
    Ok(out)
}

fn sextet(byte: u8) -> Option<u8> {
    Some(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

fn base32_encode(all: &[u8]) -> String {
    let mut out = String::with_capacity(all.len().div_ceil(5) * 8);
    for group in all.chunks(5) {
        let bits = (0..5).fold(0u64, |bits, i| bits << 8 | u64::from(group.get(i).copied().unwrap_or_default()));
        let digits = (group.len() * 8).div_ceil(5);
        for i in 0..8 {
            let digit = usize::try_from(bits >> (35 - 5 * i) & 31).unwrap_or_default();
            out.push(if i < digits { BASE32.get(digit).copied().map_or('=', char::from) } else { '=' });
        }
    }
    out
}

fn base32_decode(all: &[u8]) -> Result<Vec<u8>, usize> {
    let kept: Vec<u8> = all.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    let mut out = Vec::with_capacity(kept.len() / 8 * 5);
    for (n, group) in kept.chunks(8).enumerate() {
        let mut bits = 0u64;
        let mut digits = 0;
        for (i, byte) in group.iter().enumerate() {
            match BASE32.iter().position(|digit| digit == byte) {
                Some(digit) if digits == i => {
                    bits |= u64::try_from(digit).unwrap_or_default() << (35 - 5 * i);
                    digits += 1;
                }
                None if *byte == b'=' && i >= 2 => {
                    check_padding(&kept, n * 8 + i, i)?;
                    break;
                }
                _ => return Err(n * 8 + i),
            }
        }
        if group.len() < 8 && digits == group.len() {
            return Err(n * 8);
        }
        let count = match digits {
            8 => 5,
            7 => 4,
            5 => 3,
            4 => 2,
            2 => 1,
            bad => return Err(n * 8 + bad),
        };
        out.extend_from_slice(bits.to_be_bytes().get(3..3 + count).unwrap_or_default());
        if count < 5 {
            break;
        }
    }
    Ok(out)
}

/// Checks the padding that begins at `at`, after `digits` digits of the last group.
fn check_padding(all: &[u8], at: usize, digits: usize) -> Result<(), usize> {
    let rest = all.get(at + 1..).unwrap_or_default();
    if rest.len() >= 8 {
        return Err(at);
    }
    if rest.len() + digits < 7 {
        return Err(all.len());
    }
    match rest.iter().take(7 - digits).position(|byte| *byte != b'=') {
        Some(bad) => Err(at + bad),
        None => Ok(()),
    }
}
