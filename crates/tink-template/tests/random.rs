//! Random and mutated templates: an answer or an error, never a panic, never a template that runs away.

#![expect(clippy::unwrap_used, reason = "a helper that fails has failed its test")]

use proptest::prelude::*;
use tink_template::{Data, render};
use tink_workflow::Limits;

/// Pieces of templates, so that what is put together often is one.
const PIECES: &[&str] = &[
    "{{",
    "}}",
    "{{-",
    "-}}",
    "{{ ",
    " }}",
    "{{end}}",
    "{{else}}",
    "{{if .t}}",
    "{{range .l}}",
    "{{range $i, $x := .l}}",
    "{{with .m}}",
    "{{define \"t\"}}",
    "{{template \"t\" .}}",
    "{{block \"b\" .}}",
    "{{break}}",
    "{{continue}}",
    "{{/*",
    "*/}}",
    "{{$x := .}}",
    "{{$x = 1}}",
    "{{$x}}",
    "{{$i}}",
    ".m",
    ".l",
    ".t",
    ".n",
    ".s",
    ".missing",
    "$x",
    "$",
    ".",
    " | ",
    "(",
    ")",
    "\"a\"",
    "`b`",
    "'c'",
    "1",
    "-1",
    "1.5",
    "0x1f",
    "9223372036854775807",
    "true",
    "nil",
    " ",
    "\n",
    ",",
    ":=",
    "=",
    "printf \"%v%d%q%5x\"",
    "index",
    "len",
    "slice",
    "print",
    "eq",
    "lt",
    "and",
    "or",
    "not",
    "html",
    "js",
    "call",
    "upper",
    "repeat",
    "trunc",
    "substr",
    "abbrev",
    "wrapWith 5",
    "regexFindAll",
    "regexReplaceAll \"(a*)\"",
    "toJson",
    "fromJson",
    "toYaml",
    "fromYaml",
    "dict",
    "set",
    "merge",
    "list",
    "first",
    "chunk 2",
    "concat",
    "until",
    "untilStep",
    "seq",
    "add",
    "div",
    "divf",
    "round",
    "semverCompare",
    "semver",
    "urlParse",
    "urlJoin",
    "toDate \"2006-01-02\"",
    "duration",
    "durationRound",
    "b64dec",
    "b32dec",
    "decryptAES \"k\"",
    "splitn",
    "snakecase",
    "camelcase",
    "title",
    "dig",
    "default",
    "ternary",
    "deepCopy",
    "sortAlpha",
    "quote",
    "indent 3",
    "formatPartition",
    "netmaskToPrefixLength",
    "é",
    "\u{0}",
];

fn data() -> Data {
    Data::bare(serde_json::json!({
        "t": true, "n": 3, "s": "hällo, wörld", "l": ["a", 1, null, [1, 2], {"k": "v"}], "m": {"a": 1, "b": {"c": [true]}}
    }))
    .at(1_600_000_000)
}

fn runs(template: &str) {
    if let Err(fault) = render(template, &data(), &Limits::default()) {
        let text = fault.to_string();
        assert!(!text.is_empty() && text.len() < 5_000, "an odd message: {text}");
    }
}

fn pieces() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(PIECES), 0..24).prop_map(|pieces| pieces.concat())
}

/// An action of a few words: more likely to get past the parser.
fn action() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(PIECES), 1..6).prop_map(|words| format!("{{{{ {} }}}}", words.join(" ")))
}

/// The templates of the case tables.
fn known_templates() -> Vec<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases");
    let mut templates = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        // Keys take seconds.
        if path.ends_with("keys.json") {
            continue;
        }
        let table: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        templates.extend(
            table["cases"].as_array().unwrap().iter().map(|case| case["template"].as_str().unwrap().to_owned()),
        );
    }
    templates.retain(|template| !["bcrypt", "htpasswd", "derivePassword"].iter().any(|slow| template.contains(slow)));
    templates.sort();
    assert!(templates.len() > 300);
    templates
}

/// A known template with a stretch of it replaced by a piece or by a stretch of another.
fn mutated() -> impl Strategy<Value = String> {
    let known = known_templates();
    let pick = prop::sample::select(known);
    (pick.clone(), pick, prop::sample::select(PIECES), any::<[prop::sample::Index; 4]>(), any::<bool>()).prop_map(
        |(base, other, piece, at, take_piece)| {
            let base: Vec<char> = base.chars().take(2_000).collect();
            let other: Vec<char> = other.chars().take(2_000).collect();
            let stretch = |chars: &[char], a: prop::sample::Index, b: prop::sample::Index| {
                let (a, b) = (a.index(chars.len() + 1), b.index(chars.len() + 1));
                (a.min(b), a.max(b).min(a.min(b) + 12))
            };
            let cut = stretch(&base, at[0], at[1]);
            let taken = stretch(&other, at[2], at[3]);
            let middle: String = if take_piece { piece.to_owned() } else { other[taken.0..taken.1].iter().collect() };
            format!("{}{middle}{}", base[..cut.0].iter().collect::<String>(), base[cut.1..].iter().collect::<String>())
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, max_shrink_iters: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_answered(template in ".{0,120}") {
        runs(&template);
    }

    #[test]
    fn pieces_of_templates_are_answered(template in pieces()) {
        runs(&template);
    }

    #[test]
    fn actions_are_answered(actions in prop::collection::vec(action(), 1..4)) {
        runs(&actions.concat());
    }

    #[test]
    fn mutated_templates_are_answered(template in mutated()) {
        runs(&template);
    }

    #[test]
    fn text_without_actions_is_itself(text in "[^{]{0,200}") {
        let rendered = render(&text, &data(), &Limits::default()).unwrap();
        prop_assert_eq!(&rendered.text, &text);
        for line in 1..=text.lines().count() {
            prop_assert_eq!(rendered.source_line(line), Some(line));
        }
    }

    /// With more of what is a line break to some readers than chance would bring.
    #[test]
    fn a_value_comes_back_from_json_and_yaml(text in "(\\PC|[\u{85}\u{2028}\u{2029} \n0]){0,40}") {
        // `toYaml` leaves out the last line break, as Go's does; at the end it would be this text's.
        let text = text.trim_end_matches('\n');
        let data = Data::bare(serde_json::json!({"s": text, "l": [text, {"k": text}]}));
        let template = "{{.s | toJson | fromJson}}\u{1}{{(.l | toYaml | fromYaml) | toJson}}\u{1}{{.l | toJson}}\u{1}{{.s | b64enc | b64dec}}\u{1}{{.s | b32enc | b32dec}}";
        let rendered = render(template, &data, &Limits::default()).unwrap().text;
        let parts: Vec<&str> = rendered.split('\u{1}').collect();
        prop_assert_eq!(parts[0], text);
        prop_assert_eq!(parts[1], parts[2]);
        prop_assert_eq!(parts[3], text);
        prop_assert_eq!(parts[4], text);
    }
}
