//! Sprig: `encryptAES`, `decryptAES` and `derivePassword`.

use aes::cipher::block_padding::NoPadding;
use aes::cipher::{BlockDecryptMut as _, BlockEncryptMut as _, KeyIvInit as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::Mac as _;

use super::args::{bytes, int, made, text};
use super::encoding::base64_decode;
use super::{Function, Param, Returned, fixed};
use crate::exec::{Context, Fault};
use crate::value::Value;

use Param::{Str, Uint32};

pub(super) const TABLE: &[Function] = &[
    fixed("encryptAES", &[Str, Str], encrypt),
    fixed("decryptAES", &[Str, Str], decrypt),
    fixed("derivePassword", &[Uint32, Str, Str, Str, Str], derive_password),
];

/// The password, cut or filled with zeros to 32 bytes: AES-256.
fn aes_key(password: &[u8]) -> [u8; 32] {
    let mut key = [0; 32];
    for (slot, byte) in key.iter_mut().zip(password) {
        *slot = *byte;
    }
    key
}

fn encrypt(context: &Context, args: &[Value]) -> Returned {
    let (password, plain) = (bytes(args, 0)?, bytes(args, 1)?);
    if plain.is_empty() {
        return Ok(Value::str(""));
    }
    let mut iv = [0; 16];
    super::random::fill(&mut iv)?;
    let padding = 16 - plain.len() % 16;
    let mut content = plain.to_vec();
    content.extend(std::iter::repeat_n(u8::try_from(padding).unwrap_or(16), padding));
    context.produce(content.len() * 4)?;
    let cipher = cbc::Encryptor::<aes::Aes256>::new(&aes_key(password).into(), &iv.into());
    let sealed = cipher.encrypt_padded_vec_mut::<NoPadding>(&content);
    made(context, STANDARD.encode([iv.as_slice(), &sealed].concat()))
}

fn decrypt(context: &Context, args: &[Value]) -> Returned {
    let (password, sealed) = (bytes(args, 0)?, bytes(args, 1)?);
    if sealed.is_empty() {
        return Ok(Value::str(""));
    }
    let sealed = base64_decode(sealed).map_err(|at| Fault::new(format!("illegal base64 data at input byte {at}")))?;
    context.produce(sealed.len() * 4)?;
    let bad = || Fault::new("this is not text that encryptAES made");
    let (iv, body) = sealed.split_at_checked(16).ok_or_else(bad)?;
    let iv: [u8; 16] = iv.try_into().map_err(|_| bad())?;
    let cipher = cbc::Decryptor::<aes::Aes256>::new(&aes_key(password).into(), &iv.into());
    let plain = cipher.decrypt_padded_vec_mut::<NoPadding>(body).map_err(|_| bad())?;
    let padding = usize::from(*plain.last().ok_or_else(bad)?);
    let end = plain.len().checked_sub(padding).ok_or_else(|| Fault::new("the password is wrong"))?;
    made(context, plain.get(..end).unwrap_or_default())
}

/// The patterns of each kind of password; a letter stands for a set of characters.
fn templates(kind: &str) -> Option<&'static [&'static str]> {
    Some(match kind {
        "maximum" => &["anoxxxxxxxxxxxxxxxxx", "axxxxxxxxxxxxxxxxxno"],
        "long" => &[
            "CvcvnoCvcvCvcv",
            "CvcvCvcvnoCvcv",
            "CvcvCvcvCvcvno",
            "CvccnoCvcvCvcv",
            "CvccCvcvnoCvcv",
            "CvccCvcvCvcvno",
            "CvcvnoCvccCvcv",
            "CvcvCvccnoCvcv",
            "CvcvCvccCvcvno",
            "CvcvnoCvcvCvcc",
            "CvcvCvcvnoCvcc",
            "CvcvCvcvCvccno",
            "CvccnoCvccCvcv",
            "CvccCvccnoCvcv",
            "CvccCvccCvcvno",
            "CvcvnoCvccCvcc",
            "CvcvCvccnoCvcc",
            "CvcvCvccCvccno",
            "CvccnoCvcvCvcc",
            "CvccCvcvnoCvcc",
            "CvccCvcvCvccno",
        ],
        "medium" => &["CvcnoCvc", "CvcCvcno"],
        "short" => &["Cvcn"],
        "basic" => &["aaanaaan", "aannaaan", "aaannaaa"],
        "pin" => &["nnnn"],
        _ => return None,
    })
}

fn characters(class: char) -> &'static str {
    match class {
        'V' => "AEIOU",
        'C' => "BCDFGHJKLMNPQRSTVWXYZ",
        'v' => "aeiou",
        'c' => "bcdfghjklmnpqrstvwxyz",
        'A' => "AEIOUBCDFGHJKLMNPQRSTVWXYZ",
        'a' => "AEIOUaeiouBCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz",
        'n' => "0123456789",
        'o' => "@&%?,=[]_:-+*$#!'^~;()/.",
        _ => "AEIOUaeiouBCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz0123456789!@#$%^&*()",
    }
}

/// The Master Password algorithm.
fn derive_password(context: &Context, args: &[Value]) -> Returned {
    const SCOPE: &[u8] = b"com.lyndir.masterpassword";
    let counter = u32::try_from(int(args, 0)?).map_err(|_| Fault::new("the counter must fit into 32 bits"))?;
    let kind = text(args, 1)?;
    let Some(patterns) = templates(&kind) else {
        return made(context, format!("cannot find password template {kind}"));
    };
    let (password, user, site) = (bytes(args, 2)?, bytes(args, 3)?, bytes(args, 4)?);
    // About 100 ms and 32 MiB.
    context.work(200_000)?;
    let length = |text: &[u8]| u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes();
    let salt = [SCOPE, &length(user), user].concat();
    let mut key = [0; 64];
    let failed = || Fault::new("cannot derive a key from the password");
    let params = scrypt::Params::new(15, 8, 2, 64).map_err(|_| failed())?;
    scrypt::scrypt(password, &salt, &params, &mut key).map_err(|_| failed())?;
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(&key).map_err(|_| failed())?;
    mac.update(&[SCOPE, &length(site), site, &counter.to_be_bytes()].concat());
    let seed = mac.finalize().into_bytes();
    let pick = |i: usize, of: usize| seed.get(i).map_or(0, |byte| usize::from(*byte) % of);
    let pattern = patterns.get(pick(0, patterns.len())).copied().unwrap_or_default();
    let chars = pattern.chars().enumerate().filter_map(|(i, class)| {
        let set = characters(class);
        set.chars().nth(pick(i + 1, set.len()))
    });
    made(context, chars.collect::<String>())
}
