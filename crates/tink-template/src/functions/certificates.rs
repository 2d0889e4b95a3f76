//! Sprig: `genPrivateKey`, `genCA`, `genSelfSignedCert`, `genSignedCert` and `buildCustomCert`.

use std::net::IpAddr;
use std::rc::Rc;

use super::args::{any, int, made, text};
use super::der::{self, OCTET_STRING, Reader, SEQUENCE, SET, bit_string, element, sequence, unsigned};
use super::keys::PrivateKey;
use super::timelayout;
use super::times::Time;
use super::{Function, Param, Returned, fixed};
use crate::exec::{Context, Fault};
use crate::value::{Field, Struct, StructType, Value};

use Param::{Certificate, Int, List, Str};

pub(super) const TABLE: &[Function] = &[
    fixed("genPrivateKey", &[Str], gen_private_key),
    fixed("genCA", &[Str, Int], |context, args| gen_ca(context, args, new_key(context)?)),
    fixed("genCAWithKey", &[Str, Int, Str], |context, args| gen_ca(context, args, key_of(args, 2)?)),
    fixed("genSelfSignedCert", &[Str, List, List, Int], |context, args| {
        gen_self_signed(context, args, new_key(context)?)
    }),
    fixed("genSelfSignedCertWithKey", &[Str, List, List, Int, Str], |context, args| {
        gen_self_signed(context, args, key_of(args, 4)?)
    }),
    fixed("genSignedCert", &[Str, List, List, Int, Certificate], |context, args| {
        gen_signed(context, args, new_key(context)?)
    }),
    fixed("genSignedCertWithKey", &[Str, List, List, Int, Certificate, Str], |context, args| {
        gen_signed(context, args, key_of(args, 5)?)
    }),
    fixed("buildCustomCert", &[Str, Str], build_custom_cert),
];

/// Sprig's certificate: `.Cert` and `.Key`, both PEM.
static CERTIFICATE: StructType = StructType {
    name: "sprig.certificate",
    fields: &[
        Field { name: "Cert", json: "Cert", omit_empty: false },
        Field { name: "Key", json: "Key", omit_empty: false },
    ],
};

fn certificate(cert: String, key: String) -> Value {
    Value::Struct(Rc::new(Struct { kind: &CERTIFICATE, values: vec![Value::str(cert), Value::str(key)] }))
}

/// Units of work that looking for the primes of a key takes: a second or so.
const KEY_WORK: u64 = 400_000;

fn gen_private_key(context: &Context, args: &[Value]) -> Returned {
    let kind = text(args, 0)?;
    if matches!(kind.as_ref(), "" | "rsa" | "dsa") {
        context.work(KEY_WORK)?;
    }
    match PrivateKey::generate(&kind)? {
        Some(key) => made(context, key.to_pem()),
        None => made(context, format!("Unknown type {kind}")),
    }
}

fn new_key(context: &Context) -> Result<PrivateKey, Fault> {
    context.work(KEY_WORK / 4)?;
    Ok(PrivateKey::Rsa(super::primes::rsa_key(2048)?))
}

fn key_of(args: &[Value], i: usize) -> Result<PrivateKey, Fault> {
    PrivateKey::from_pem(&text(args, i)?)
}

/// What a certificate is made from.
struct Request {
    name: Vec<u8>,
    alternatives: Vec<u8>,
    days: i64,
    is_authority: bool,
}

fn gen_ca(context: &Context, args: &[Value], key: PrivateKey) -> Returned {
    let name = distinguished_name(&text(args, 0)?);
    let request = Request { name: name.clone(), alternatives: Vec::new(), days: int(args, 1)?, is_authority: true };
    let der = issue(context, &request, &key, &name, &key)?;
    Ok(certificate(der::pem("CERTIFICATE", &der), key.to_pem()))
}

/// The request of the four arguments name, addresses, DNS names and days.
fn request(args: &[Value]) -> Result<Request, Fault> {
    let mut alternatives = Vec::new();
    for name in texts(any(args, 2)?, "DNS name")? {
        alternatives.extend(element(0x82, name.as_bytes()));
    }
    for address in texts(any(args, 1)?, "IP address")? {
        let parsed = address.parse().map_err(|_| Fault::new(format!("{address:?} is not an IP address")))?;
        alternatives.extend(match parsed {
            IpAddr::V4(v4) => element(0x87, &v4.octets()),
            IpAddr::V6(v6) => element(0x87, &v6.octets()),
        });
    }
    let name = distinguished_name(&text(args, 0)?);
    Ok(Request { name, alternatives, days: int(args, 3)?, is_authority: false })
}

fn texts(value: &Value, noun: &str) -> Result<Vec<String>, Fault> {
    let Value::List(list) = value else { return Ok(Vec::new()) };
    list.items()
        .iter()
        .map(|item| match item {
            Value::Str(text) => Ok(text.to_str_lossy().into_owned()),
            other => Err(Fault::new(format!("the {noun} must be a string, but is of type {}", other.type_name()))),
        })
        .collect()
}

fn gen_self_signed(context: &Context, args: &[Value], key: PrivateKey) -> Returned {
    let request = request(args)?;
    let der = issue(context, &request, &key, &request.name, &key)?;
    Ok(certificate(der::pem("CERTIFICATE", &der), key.to_pem()))
}

fn gen_signed(context: &Context, args: &[Value], key: PrivateKey) -> Returned {
    let Value::Struct(authority) = any(args, 4)? else {
        return Err(Fault::new("the authority must be a certificate, such as `genCA` gives"));
    };
    let part = |name: &str| match authority.field(name) {
        Some(Value::Str(text)) => text.to_str_lossy().into_owned(),
        _ => String::new(),
    };
    let cert = der::unpem(&part("Cert")).and_then(|(_, der)| subject(&der).map(<[u8]>::to_vec));
    let issuer = cert.ok_or_else(|| Fault::new("the authority's certificate cannot be read"))?;
    let authority_key = PrivateKey::from_pem(&part("Key"))?;
    let der = issue(context, &request(args)?, &key, &issuer, &authority_key)?;
    Ok(certificate(der::pem("CERTIFICATE", &der), key.to_pem()))
}

/// The encoded subject of a certificate.
fn subject(certificate: &[u8]) -> Option<&[u8]> {
    let mut body = Reader(Reader(Reader(certificate).take(SEQUENCE)?).take(SEQUENCE)?);
    let (tag, ..) = body.next()?;
    // Version (optional), serial number, algorithm, issuer, validity, subject.
    let skipped = if tag == 0xa0 { 4 } else { 3 };
    for _ in 0..skipped {
        body.next()?;
    }
    body.next().map(|(_, _, whole)| whole)
}

/// A name that is only a common name.
fn distinguished_name(common_name: &str) -> Vec<u8> {
    if common_name.is_empty() {
        return sequence(&[]);
    }
    let printable = common_name.bytes().all(|b| b.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&b));
    let value = element(if printable { 0x13 } else { 0x0c }, common_name.as_bytes());
    sequence(&[&element(SET, &sequence(&[&[0x06, 3, 0x55, 4, 3], &value]))])
}

fn issue(
    context: &Context,
    request: &Request,
    key: &PrivateKey,
    issuer: &[u8],
    issuer_key: &PrivateKey,
) -> Result<Vec<u8>, Fault> {
    let now = context.now_unix_s()?;
    let until = request.days.checked_mul(86_400).and_then(|span| now.checked_add(span));
    let until = until.ok_or_else(|| Fault::new(format!("{} days are too many", request.days)))?;
    let mut serial = [0; 16];
    super::random::fill(&mut serial)?;
    let public = key.public_info()?;
    let algorithm = issuer_key.signature_algorithm();
    let body = sequence(&[
        &element(0xa0, &unsigned(&[2])),
        &unsigned(&serial),
        &algorithm,
        issuer,
        &sequence(&[&moment(now)?, &moment(until)?]),
        &request.name,
        &public,
        &element(0xa3, &extensions(request, &public)),
    ]);
    let signature = issuer_key.sign(&body)?;
    Ok(sequence(&[&body, &algorithm, &bit_string(&signature)]))
}

/// A time: two digits of the year until 2049, four after.
fn moment(unix_s: i64) -> Result<Vec<u8>, Fault> {
    let time = Time { unix_s, ..Time::ZERO };
    match time.civil().year {
        1950..=2049 => Ok(element(0x17, timelayout::format("060102150405Z", time).as_bytes())),
        2050..=9999 => Ok(element(0x18, timelayout::format("20060102150405Z", time).as_bytes())),
        year => Err(Fault::new(format!("a certificate cannot be valid in the year {year}"))),
    }
}

fn extensions(request: &Request, public: &[u8]) -> Vec<u8> {
    const CRITICAL: &[u8] = &[1, 1, 0xff];
    let extension = |oid: &[u8], critical: bool, value: &[u8]| {
        let oid = element(0x06, oid);
        sequence(&[&oid, if critical { CRITICAL } else { &[] }, &element(OCTET_STRING, value)])
    };
    // Digital signature and key encipherment; authorities sign certificates, too.
    let usage: &[u8] = if request.is_authority { &[3, 2, 2, 0xa4] } else { &[3, 2, 5, 0xa0] };
    let client_and_server = sequence(&[&[0x06, 8, 0x2b, 6, 1, 5, 5, 7, 3, 1], &[0x06, 8, 0x2b, 6, 1, 5, 5, 7, 3, 2]]);
    let constraints = sequence(&[if request.is_authority { CRITICAL } else { &[] }]);
    let mut all = vec![
        extension(&[0x55, 0x1d, 15], true, usage),
        extension(&[0x55, 0x1d, 37], false, &client_and_server),
        extension(&[0x55, 0x1d, 19], true, &constraints),
    ];
    if request.is_authority {
        let id = <sha1::Sha1 as sha2::Digest>::digest(public);
        all.push(extension(&[0x55, 0x1d, 14], false, &element(OCTET_STRING, &id)));
    }
    if !request.alternatives.is_empty() {
        all.push(extension(&[0x55, 0x1d, 17], false, &element(SEQUENCE, &request.alternatives)));
    }
    element(SEQUENCE, &all.concat())
}

fn build_custom_cert(_: &Context, args: &[Value]) -> Returned {
    let decoded = |i: usize, noun: &str| {
        super::encoding::base64_decode(super::args::bytes(args, i)?)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .map_err(|_| Fault::new(format!("unable to decode the base64 text of the {noun}")))
    };
    let (cert, key) = (decoded(0, "certificate")?, decoded(1, "private key")?);
    let parsed = der::unpem(&cert).filter(|(_, der)| subject(der).is_some());
    parsed.ok_or_else(|| Fault::new("the certificate cannot be read"))?;
    PrivateKey::from_pem(&key)?;
    Ok(certificate(cert, key))
}
