//! Templates: Go's `text/template` with Sprig's functions, rendered with hardware data as Tinkerbell's controller does.
//!
//! [`render`] turns a template's source and [`Data`] into text; [`compile`] goes on from there to a workflow. Both are
//! pure: no IO, no clock (see [`Data::at`]); only salts, keys, `shuffle` and `randInt` take random numbers from the system.
//!
//! ```
//! use tink_template::{Data, render};
//! use tink_workflow::Limits;
//!
//! let data = Data::new().hardware_map([("device_1", "08:00:27:00:00:01")]);
//! let rendered = render("worker: {{ .device_1 | quote }}", &data, &Limits::default())?;
//! assert_eq!(rendered.text, "worker: \"08:00:27:00:00:01\"");
//!
//! let error = render("worker: {{ .device1 }}", &data, &Limits::default()).unwrap_err();
//! assert_eq!(error.position().map(|at| (at.line, at.column)), Some((1, 12)));
//! assert!(error.to_string().contains("did you mean \"device_1\"?"));
//! # Ok::<(), tink_template::RenderError>(())
//! ```
//!
//! # What there is
//!
//! The whole language, with `missingkey=error`: actions, pipelines, variables, `if`, `with`, `range`, `break`, `continue`,
//! `define`, `template`, `block`, trimming, comments. Values have Go's types, as the functions tell them apart: numbers of
//! data are float64, so 1000000 prints as `1e+06`, and `until .n` is an error where `until (int .n)` is none.
//!
//! Functions, all of upstream's:
//!
//! - Go's: `and or not eq ne lt le gt ge call html js urlquery index len print printf println`
//!   (`slice` is Sprig's, as upstream).
//! - Strings: `abbrev abbrevboth camelcase cat contains hasPrefix hasSuffix hello indent initials join kebabcase lower
//!   nindent nospace plural quote repeat replace shuffle snakecase sortAlpha split splitList splitn squote substr swapcase
//!   title toString toStrings trim trimAll trimPrefix trimSuffix trimall trunc untitle upper wrap wrapWith`
//! - Numbers: `add add1 add1f addf atoi biggest ceil div divf float64 floor int int64 max maxf min minf mod mul mulf randInt
//!   round seq sub subf toDecimal until untilStep`
//! - Lists: `append chunk compact concat first has initial last list prepend push rest reverse slice tuple uniq without`
//!   and their `must` forms
//! - Maps: `deepCopy dict dig get hasKey keys merge mergeOverwrite mustDeepCopy mustMerge mustMergeOverwrite omit pick pluck
//!   set unset values`
//! - Choices, JSON, types: `all any coalesce deepEqual default empty fail fromJson kindIs kindOf mustFromJson mustToJson
//!   mustToPrettyJson mustToRawJson ternary toJson toPrettyJson toRawJson typeIs typeIsLike typeOf`
//! - Encodings and secrets: `adler32sum b32dec b32enc b64dec b64enc bcrypt buildCustomCert decryptAES derivePassword
//!   encryptAES genCA genCAWithKey genPrivateKey genSelfSignedCert genSelfSignedCertWithKey genSignedCert
//!   genSignedCertWithKey htpasswd sha1sum sha256sum sha512sum`
//! - Regular expressions: `regexFind regexFindAll regexMatch regexQuoteMeta regexReplaceAll regexReplaceAllLiteral
//!   regexSplit` and their `must` forms
//! - Versions, paths, URLs, times: `semver semverCompare base clean dir ext isAbs osBase osClean osDir osExt osIsAbs urlJoin
//!   urlParse ago duration durationRound mustDateModify mustToDate must_date_modify toDate unixEpoch`
//! - Tinkerbell's: `formatPartition fromYaml netmaskToPrefixLength toYaml`
//!
//! Absent on purpose, as upstream: `env expandenv getHostByName now date dateInZone dateModify date_in_zone date_modify
//! htmlDate htmlDateInZone randAlpha randAlphaNum randAscii randBytes randNumeric uuidv4`.
//!
//! # Where it differs from Go
//!
//! - There are no complex numbers; `%x` and `%b` of floats and `%p` are not printed; addresses of pointers are all the same.
//! - `keys` and `values` are sorted; Go's order changes from run to run. `sortAlpha` leaves its argument alone.
//! - Cutting a list beyond its length is always an error; Go sometimes shows what lies behind.
//! - JSON nests 128 deep at most. Errors have texts of their own.
//! - Times without a zone are UTC; zones are known by offset only. Times have the methods `Unix UnixMilli UnixMicro UnixNano
//!   Year Month Day Hour Minute Second Nanosecond YearDay Weekday IsZero String UTC Local Format After Before Equal
//!   AddDate`, versions all but the marshalling ones. `ago` and certificates need [`Data::at`].
//! - Certificates can be signed with RSA, P-256, P-384 and Ed25519 keys, no others.
//!
//! # Bounds
//!
//! Source and output by [`tink_workflow::Limits`]; nesting 100 in the source and 250 while executing (Go: 100,000 template
//! calls); values 128 deep when printed, compared or copied; text of 4 MiB out of one function; and a budget of work for the
//! whole rendering, of which every step, item, byte and regular expression takes some. Beyond them is
//! [`RenderError::LimitReached`], never a panic. The result must be UTF-8.
//!
//! The cases in `tests/cases` were decided by Go 1.26 and Sprig 3.3.0.

mod advice;
mod data;
mod error;
mod exec;
mod functions;
mod legacy;
pub mod parse;
mod render;
mod syntax;
mod value;

pub use data::Data;
pub use error::{Position, RenderError};
pub use parse::{CompileError, Compiled, compile};
pub use render::{Rendered, check_syntax, render};

/// The name of the template itself, as in upstream.
const NAME: &str = "workflow-template";
